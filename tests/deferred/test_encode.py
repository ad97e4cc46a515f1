"""The encoder's requests equal those of the SDK's encoder, byte for byte."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from opentelemetry import context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from deferred._executions import Run, ended, executions, known, runs, write
from harness import Telemetry
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._encode import Encoder
from sandscope._deferred._readable import readable_log, readable_span
from sandscope._recording._direct_recorder import DirectExecution, DirectRecorder
from sandscope.instrumentation import MISSING_EVIDENCE, Scope, Site

pytestmark = pytest.mark.filterwarnings("ignore:Log record attributes were dropped")

RESOURCE = Resource({"service.name": "é", "list": (1, 2)}, "https://example.org/resource")
SCOPE = InstrumentationScope("scope", "1.2", "https://example.org/scope", {"a": 1.5})
SITE = Site("wasmtime", "call", "wasm add", attributes={"wasm.function.name": "add"})
LIMITS = [
    {},
    {"OTEL_ATTRIBUTE_COUNT_LIMIT": "0"},
    {"OTEL_ATTRIBUTE_COUNT_LIMIT": "7", "OTEL_SPAN_EVENT_COUNT_LIMIT": "1"},
    {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3", "OTEL_SPAN_LINK_COUNT_LIMIT": "1"},
    {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "9", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "8"},
]

check = settings(
    max_examples=100,
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True, scope="module")
def _no_complaints_of_the_sdk() -> Iterator[None]:
    """The SDK logs each attribute of an invalid type."""
    logger = logging.getLogger("opentelemetry")
    before, logger.level = logger.level, logging.CRITICAL + 1
    yield
    logger.level = before


@check
@given(st.lists(executions(), min_size=1, max_size=5), st.sampled_from(LIMITS))
def test_spans_equal_those_of_the_sdks_encoder(
    batch: list[DeferredExecution], limits: dict[str, str]
) -> None:
    with mock.patch.dict(os.environ, limits):
        encoder = Encoder(RESOURCE, SCOPE)
        for execution in batch:
            expected = _unless_refused(lambda: encode_spans([readable_span(execution, RESOURCE, SCOPE)]))  # noqa: B023
            assert encoder.spans([execution]) == expected
            assert encoder.spans([execution]) == expected, "from templates made before"


@check
@given(st.lists(executions(), min_size=1, max_size=5), st.sampled_from(LIMITS))
def test_log_records_equal_those_of_the_sdks_encoder(
    batch: list[DeferredExecution], limits: dict[str, str]
) -> None:
    with mock.patch.dict(os.environ, limits):
        encoder = Encoder(RESOURCE, SCOPE)
        for execution in batch:
            expected = _unless_refused(lambda: encode_logs([readable_log(execution, RESOURCE, SCOPE)]))  # noqa: B023
            assert encoder.logs([execution]) == expected
            assert encoder.logs([execution]) == expected, "from templates made before"


def _unless_refused(encode: Callable[[], Message]) -> bytes:
    try:
        return encode().SerializeToString()
    except Exception:  # noqa: BLE001 -- whatever the SDK refuses is left out
        return b""


@pytest.mark.parametrize("limits", LIMITS)
def test_what_is_encoded_is_what_the_direct_recorder_leaves_with_the_sdk(limits: dict[str, str]) -> None:
    with mock.patch.dict(os.environ, limits):
        telemetry = Telemetry("direct")
        recorder = DirectRecorder(Scope("scope", "1"), **telemetry.providers)

        @check
        @given(runs())
        @example(known({}, {"odd": object, 5: "five", "list": [1, "a"]}))
        @example(known({}, {"error.type": "own"}))
        @example(known({"\0": "zero", "exception.message": "the site's"}, {}, MISSING_EVIDENCE))
        @example(known({"sandbox.duration": "long"}, {"sandbox.runtime": "other"}, MISSING_EVIDENCE))
        def compare(run: Run) -> None:
            telemetry.clear()
            run = _told_once(run, limited=bool(limits))
            direct = _record(recorder, run)
            identity, times = direct.span.get_span_context(), (direct.start_time, direct.end_time)
            deferred = ended(
                run.site, run.verdict, run.parent, details=run.details, identity=identity, times=times
            )
            write(deferred, run.calls)
            (log,) = telemetry.logs()
            resource, scope = log.resource, log.instrumentation_scope
            assert scope is not None
            encoder = Encoder(resource, scope)
            expected = _sorted(encode_logs([log]))
            assert _sorted(encode_logs([readable_log(deferred, resource, scope)])) == expected
            assert _sorted(ExportLogsServiceRequest.FromString(encoder.logs([deferred]))) == expected
            for span in telemetry.spans():  # none if the parent is not sampled
                expected = _sorted(encode_spans([span]))
                assert _sorted(encode_spans([readable_span(deferred, resource, scope)])) == expected
                assert _sorted(ExportTraceServiceRequest.FromString(encoder.spans([deferred]))) == expected

        compare()
        telemetry.shutdown()


def _told_once(run: Run, *, limited: bool) -> Run:
    """Leave out what the program writes where order or signal decides: beside the execution's own, under limits, and
    attributes that are cleaned in one way on spans and in another on log records.
    """
    if run.details is None and not limited:
        return run._replace(calls=[call for call in run.calls if _alike(call)])
    return run._replace(calls=[call for call in run.calls if call[0] not in _SHARED])


_SHARED = {"set_attribute", "set_attributes", "add_event", "record_exception"}


def _alike(call: tuple[str, tuple[Any, ...]]) -> bool:
    method, arguments = call
    if method not in {"set_attribute", "set_attributes"}:
        return True
    attributes = dict([arguments]) if method == "set_attribute" else arguments[0]
    return all(
        isinstance(key, str)
        and key.isprintable()
        and key
        and not key.startswith(("sandbox.", "error.", "exception."))
        and type(value) in {bool, float}
        for key, value in attributes.items()
    )


def _sorted(request: Message) -> Any:
    """Return a request as plain data, with attributes by key: two recorders may set them in another order."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            items = [plain(item) for item in value]
            keyed = items and all(
                isinstance(item, dict) and item.keys() <= {"key", "value"} for item in items
            )
            return sorted(items, key=lambda item: str(item.get("key", ""))) if keyed else items
        return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value

    return plain(MessageToDict(request))


def _record(recorder: DirectRecorder, run: Run) -> DirectExecution:
    token = context.attach(run.parent)
    try:
        direct = recorder.begin(run.site)
        assert isinstance(direct, DirectExecution)
        direct.details = run.details
        for method, arguments in run.calls:
            getattr(direct.span, method)(*arguments)
        direct.finish(run.verdict)
        return direct
    finally:
        context.detach(token)


def test_requests_may_be_concatenated() -> None:
    """Of several scopes, or of one in several steps."""
    other = InstrumentationScope("other", "2")
    one, two = Encoder(RESOURCE, SCOPE), Encoder(RESOURCE, other)
    spans = ExportTraceServiceRequest.FromString(
        one.spans([ended(SITE)]) + two.spans([ended(SITE), ended(SITE)]) + one.spans([ended(SITE)])
    )
    logs = ExportLogsServiceRequest.FromString(one.logs([ended(SITE)]) + two.logs([ended(SITE)]))
    names = [(s.scope.name, len(s.spans)) for r in spans.resource_spans for s in r.scope_spans]
    assert names == [("scope", 1), ("other", 2), ("scope", 1)]
    names = [(s.scope.name, len(s.log_records)) for r in logs.resource_logs for s in r.scope_logs]
    assert names == [("scope", 1), ("other", 1)]


def test_no_executions_are_an_empty_request() -> None:
    encoder = Encoder(RESOURCE, SCOPE)
    assert encoder.spans([]) == encoder.logs([]) == b""
