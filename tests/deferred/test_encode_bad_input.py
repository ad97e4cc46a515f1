"""Whatever a record holds, the encoder neither raises nor loses the rest of it, or other records."""

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

from deferred._executions import SDK, ended, write
from sandscope import Verdict, _guard
from sandscope._deferred import _encode
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._encode import Encoder
from sandscope._execution import Details, Event
from sandscope.instrumentation import Site

SITE = Site("wasmtime", "call", "wasm add", attributes={"wasm.function.name": "add"})
any_value = pytest.mark.skipif(SDK < (1, 45), reason="an older SDK refuses such values itself")
HALF = "\ud800"
"""Half a surrogate pair: Python's for a byte that is no text, as in file names."""


def _nested(levels: int, kind: type = dict) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"k": value} if kind is dict else [value]
    return value


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
        pytest.param(_nested(32), id="deep", marks=any_value),
        pytest.param(_nested(48, list), id="deep list", marks=any_value),
        pytest.param(_endless(), id="endless", marks=any_value),
        pytest.param(_Unprintable(), id="unprintable", marks=any_value),
    ],
)
def test_an_attribute_that_cannot_be_encoded_is_left_out_and_counted(encoder: Encoder, value: Any) -> None:
    execution = _with({"before": 1, "bad": value, "after": 2})
    (span,) = _spans(encoder, execution)
    (log,) = _logs(encoder, execution)
    for record in (span, log):
        keys = [attribute.key for attribute in record.attributes]
        assert "before" in keys
        assert "after" in keys
        assert "bad" not in keys
    assert _guard.counts() == {"encode": 2}


def test_the_value_that_cannot_be_encoded_is_not_logged(
    encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    encoder.spans([_with({"token": f"secret{HALF}"})])
    assert "token" in caplog.text
    assert "secret" not in caplog.text


@any_value
@pytest.mark.parametrize("value", [_nested(31), _nested(46, list)], ids=["deep", "deep list"])
def test_a_deep_attribute_is_kept_as_long_as_it_can_be_read_back(encoder: Encoder, value: Any) -> None:
    execution = _with({"deep": value})
    assert execution.details is not None
    execution.details.events.append(Event("deeper", 1, {"deep": value}))
    (span,) = _spans(encoder, execution)
    assert "deep" in [attribute.key for attribute in span.attributes]
    assert [attribute.key for attribute in span.events[0].attributes] == ["deep"]


def test_an_attribute_of_a_site_that_cannot_be_encoded_is_counted_each_time(encoder: Encoder) -> None:
    site = Site("subprocess", "run", "run", attributes={"process.command": f"/bin/{HALF}", "fine": 1})
    spans = _spans(encoder, *[ended(site) for _ in range(3)])
    assert [[a.key for a in span.attributes][:3] for span in spans] == [
        ["sandbox.runtime", "sandbox.operation", "fine"]
    ] * 3
    assert _guard.counts() == {"encode": 3}


def test_names_that_are_no_text_are_escaped(encoder: Encoder) -> None:
    site = Site("subprocess", "run", f"run {HALF}")
    cause = Verdict("RE", "runtime", f"re_{HALF}")
    (span,) = _spans(encoder, ended(site, cause))
    (log,) = _logs(encoder, ended(site, cause))
    assert span.name == "run \\ud800"
    assert span.status.message == "re_\\ud800"
    assert log.body.string_value == "run \\ud800: RE (re_\\ud800)"


def test_what_the_program_writes_wrongly_costs_only_itself(encoder: Encoder) -> None:
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("add_event", ("early", {}, -1)),
        ("add_event", ("late", {}, 2**64)),
        ("add_event", ("no time", {}, "noon")),
        ("add_event", (HALF, {"a": HALF, "b": 1}, 2)),
        ("add_link", (SpanContext(2**200, 1, False), {"a": 1})),
        ("add_link", (SpanContext(7, 8, True),)),
        ("update_name", (5,)),
    ]
    (span,) = _spans(encoder, write(ended(SITE), calls))
    assert span.name == "5"
    assert [(event.name, [a.key for a in event.attributes]) for event in span.events] == [("\\ud800", ["b"])]
    assert [link.trace_id[-1] for link in span.links] == [7]
    assert _guard.counts() == {"encode": 5}


def test_a_record_that_cannot_be_encoded_costs_no_other(encoder: Encoder) -> None:
    never = ended(SITE, times=(-2, -1))
    assert len(_spans(encoder, ended(SITE), never, ended(SITE))) == 2
    assert len(_logs(encoder, ended(SITE), never, ended(SITE))) == 2
    assert _guard.counts() == {"encode": 2}


def test_an_error_message_that_is_no_text_is_left_out(encoder: Encoder) -> None:
    details = Details()
    details.error_type, details.error_message = "ValueError", HALF
    (log,) = _logs(encoder, ended(SITE, Verdict("RE", "runtime", "re_trap"), details=details))
    keys = [attribute.key for attribute in log.attributes]
    assert "exception.type" in keys
    assert "exception.message" not in keys


def test_a_log_record_without_flags_is_encoded(encoder: Encoder) -> None:
    (log,) = _logs(encoder, ended(SITE, identity=SpanContext(1, 2, False, TraceFlags(0))))
    assert (log.flags, log.trace_id[-1], log.span_id[-1]) == (0, 1, 2)


def test_a_million_names_do_not_grow_memory(encoder: Encoder) -> None:
    """In small: what is kept of sites has a limit, and what comes beyond is encoded as well."""
    most = _encode._MOST_TEMPLATES
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
