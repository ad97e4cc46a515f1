"""For any record, the encoder does not raise and does not lose other records; records that it omits are counted."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from deferred._executions import SDK, ended
from sandscope import _guard
from sandscope._deferred import _encode
from sandscope._deferred._deferred_execution import DeferredExecution, recorded_by
from sandscope._deferred._encode import Encoder
from sandscope._details import Details, Event
from sandscope.instrumentation import Site

SITE = Site("wasmtime", "call", "wasm add", attributes={"wasm.function.name": "add"})
any_value = pytest.mark.skipif(SDK < (1, 45), reason="an older SDK refuses such values itself")
HALF = "\ud800"
"""Half a surrogate pair, which Python uses for bytes that are not valid text, such as in file names."""


def _endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(Resource({"service.name": "test"}), InstrumentationScope("scope", "1"))


def _records(message: Any) -> list[Any]:
    of_scope = [
        scope
        for resource in (getattr(message, "resource_spans", None) or message.resource_logs)
        for scope in (getattr(resource, "scope_spans", None) or resource.scope_logs)
    ]
    return [record for scope in of_scope for record in (getattr(scope, "spans", None) or scope.log_records)]


def _spans(encoder: Encoder, *executions: DeferredExecution) -> list[Span]:
    message = ExportTraceServiceRequest.FromString(encoder.spans(executions))
    return [span for r in message.resource_spans for s in r.scope_spans for span in s.spans]


def _logs(encoder: Encoder, *executions: DeferredExecution) -> list[LogRecord]:
    message = ExportLogsServiceRequest.FromString(encoder.logs(executions))
    return [log for r in message.resource_logs for s in r.scope_logs for log in s.log_records]


def _with(attributes: dict[Any, Any]) -> DeferredExecution:
    details = Details()
    details.attributes = attributes
    return ended(SITE, details=details)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(HALF, id="half"),
        pytest.param(("fine", HALF), id="half in tuple"),
        pytest.param(2**63, id="large"),
        pytest.param(-(2**63) - 1, id="small"),
        pytest.param([2**64], id="large in list"),
        pytest.param(_endless(), id="endless", marks=any_value),
        pytest.param(_Unprintable(), id="unprintable", marks=any_value),
    ],
)
def test_a_bad_attribute_affects_at_most_its_own_record(encoder: Encoder, value: Any) -> None:
    bad, failed = _with({"before": 1, "bad": value, "after": 2}), []
    for encode, message in (
        (encoder.spans, ExportTraceServiceRequest),
        (encoder.logs, ExportLogsServiceRequest),
    ):
        failed.clear()
        records = _records(message.FromString(encode([ended(SITE), bad, ended(SITE)], failed.append)))
        assert len(records) + len(failed) == 3
        assert set(failed) <= {bad}
        keys = [[attribute.key for attribute in record.attributes] for record in records]
        assert sum("before" in found and "after" in found for found in keys) == 1 - len(failed)
        assert not any("bad" in found for found in keys)


def test_a_record_that_is_left_out_is_reported_without_its_values(
    encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    encoder.spans([_with({"token": f"secret{HALF}"}), ended(SITE, times=(-2, -1))])
    assert "wasm add" in caplog.text
    assert "secret" not in caplog.text
    assert _guard.counts() == {"encode": 1}


def test_a_record_that_cannot_be_encoded_does_not_affect_others(encoder: Encoder) -> None:
    never = ended(SITE, times=(-2, -1))
    assert len(_spans(encoder, ended(SITE), never, ended(SITE))) == 2
    assert len(_logs(encoder, ended(SITE), never, ended(SITE))) == 2
    assert _guard.counts() == {"encode": 2}


def test_an_error_message_that_is_not_valid_text_is_replaced(encoder: Encoder) -> None:
    execution = ended(SITE)
    execution.verdict = None
    execution.__class__ = recorded_by(_Taking())  # type: ignore[arg-type] # of a recorder that takes it
    execution.token = None
    execution.fail(ValueError(f"no such file: {HALF}"))
    (log,) = _logs(encoder, execution)
    messages = [a.value.string_value for a in log.attributes if a.key == "exception.message"]
    assert messages == ["no such file: ?"]


class _Taking:
    def take(self, execution: DeferredExecution) -> None:
        pass


def test_a_log_record_without_flags_is_encoded(encoder: Encoder) -> None:
    (log,) = _logs(encoder, ended(SITE, identity=SpanContext(1, 2, False, TraceFlags(0))))
    assert (log.flags, log.trace_id[-1], log.span_id[-1]) == (0, 1, 2)


def test_a_million_names_do_not_grow_memory(encoder: Encoder) -> None:
    """On a smaller scale: the number of templates is limited, and records of further sites are encoded, too."""
    most = _encode._MAX_TEMPLATES
    gone = []
    for number in range(most + 10):
        site = Site("wasmtime", "call", f"name {number}")
        gone.append(weakref.ref(site))
        (span,) = _spans(encoder, ended(site))
        assert span.name == f"name {number}"
    del site
    gc.collect()
    assert sum(reference() is not None for reference in gone) <= most


def test_no_execution_is_kept(encoder: Encoder) -> None:
    details = Details()
    details.events.append(Event("noted", 1, {}))
    executions = [ended(SITE), _with({"a": 1}), _with({"a": [1]}), ended(SITE, details=details)]
    gone = [weakref.ref(execution) for execution in executions]
    assert encoder.spans(executions)
    assert encoder.logs(executions)
    del executions
    gc.collect()
    assert [reference() for reference in gone] == [None] * 4
