"""Each recorder turns an execution into one span, its metric points and one log record."""

from __future__ import annotations

import time
import weakref
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode

from harness import Contract, Telemetry
from sandscope import Execution, Verdict
from sandscope.instrumentation import MISSING_EVIDENCE, Metric, Recorder, Scope, Site, get_recorder

SITE = Site("wasmtime", "call", "wasm add", verdict_of=lambda _error: Verdict("TLE", "engine", "tle", "fuel"))


def _begin(recorder: Recorder, site: Site = SITE) -> Execution:
    execution = recorder.begin(site)
    assert execution is not None
    return execution


def test_success_is_recorded_in_all_three_signals_in_one_trace(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    _begin(recorder).finish()

    (span,) = telemetry.spans()
    (log,) = telemetry.logs()
    assert span.name == "wasm add"
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    assert span.attributes["sandbox.verdict.status"] == "OK"
    assert log.log_record.trace_id == span.context.trace_id
    assert log.log_record.span_id == span.context.span_id
    assert log.log_record.event_name == "sandbox.execution"
    assert telemetry.points("sandbox.executions") == [
        (
            {
                "sandbox.runtime": "wasmtime",
                "sandbox.operation": "call",
                "sandbox.verdict.status": "OK",
                "sandbox.verdict.actor": "guest",
                "sandbox.verdict.cause": "normal_exit",
            },
            1.0,
        )
    ]
    assert [value for _, value in telemetry.points("sandbox.execution.duration")] == [1.0]
    assert [value for _, value in telemetry.points("sandbox.execution.active")] == [0.0]
    assert Contract().violations(telemetry) == []


def test_failure_has_verdict_error_and_limit(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    _begin(recorder).fail(ValueError("no more fuel"))

    (span,) = telemetry.spans()
    assert span.attributes is not None
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "ValueError"
    assert span.attributes["sandbox.limit"] == "fuel"
    (log,) = telemetry.logs()
    assert log.log_record.attributes is not None
    assert log.log_record.attributes["exception.message"] == "no more fuel"
    ((attributes, value),) = telemetry.points("sandbox.limit.violations")
    assert (attributes["sandbox.limit"], value) == ("fuel", 1.0)


def test_an_explanation_is_the_status_and_its_stack_trace_an_exception_event(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    for stack_trace in (None, "s" * 5000):
        execution = _begin(recorder)
        execution.explain("too\ud800 slow" + "!" * 2000, stack_trace)
        execution.fail(ValueError("no more fuel"))
    short, long = telemetry.spans()
    assert (short.status.description or "").startswith("too? slow!")
    assert len(short.status.description or "") == 1024
    assert short.events == ()
    (event,) = long.events
    assert (event.name, event.timestamp) == ("exception", long.end_time)
    attributes = dict(event.attributes or {})
    assert attributes.pop("exception.stacktrace") == "s" * 4096
    assert attributes == {"exception.type": "ValueError", "exception.message": long.status.description}
    _, log = telemetry.logs()
    assert (log.log_record.attributes or {})["exception.stacktrace"] == "s" * 4096
    assert [each for each in Contract().violations(telemetry) if "cause" not in each] == []


def test_an_explanation_of_a_success_has_no_effect(telemetry: Telemetry) -> None:
    execution = _begin(telemetry.recorder(Scope("scope", "1")))
    execution.explain("nothing", "nowhere")
    execution.finish()
    execution.explain("too late")
    (span,) = telemetry.spans()
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.UNSET, None, ())


def test_an_execution_may_be_begun_after_its_start(telemetry: Telemetry) -> None:
    recorder, now = telemetry.recorder(Scope("scope", "1")), time.time_ns()
    execution = recorder.begin_at(_begin(recorder).site, now - 2_000_000_000)
    assert execution is not None
    execution.fail(ValueError())
    (span,) = telemetry.spans()
    assert 0 <= abs((span.start_time or 0) - (now - 2_000_000_000)) < 1_000_000_000
    assert 2 <= execution.duration < 60
    (log,) = telemetry.logs()
    assert (log.log_record.attributes or {})["sandbox.duration"] == pytest.approx(execution.duration)


def test_an_attached_execution_is_the_parent_of_spans_inside(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    tracer = telemetry.tracer_provider.get_tracer("user")
    with tracer.start_as_current_span("outer") as outer:
        execution = _begin(recorder)
        with tracer.start_as_current_span("inner"):
            pass
        execution.finish()
        assert trace.get_current_span() is outer
    (inner,), (middle,) = telemetry.spans("inner"), telemetry.spans("wasm add")
    assert inner.parent is not None
    assert middle.parent is not None
    assert inner.parent.span_id == middle.context.span_id
    assert middle.parent.span_id == outer.get_span_context().span_id


def test_a_detached_execution_does_not_change_the_current_context(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    execution = _begin(recorder, replace(SITE, current=False))
    assert not trace.get_current_span().get_span_context().is_valid
    assert trace.get_current_span(execution.context).get_span_context().is_valid
    execution.finish()


def test_a_second_end_is_ignored(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    execution = _begin(recorder)
    execution.finish()
    execution.fail(ValueError())
    assert len(telemetry.spans()) == len(telemetry.logs()) == 1


class _Broken(TracerProvider):
    def get_tracer(self, *_args: object, **_kwargs: object) -> trace.Tracer:
        return _BrokenTracer()


class _BrokenTracer(trace.NoOpTracer):
    def start_span(self, *_args: object, **_kwargs: object) -> trace.Span:
        raise RuntimeError("broken SDK")


def test_a_broken_sdk_never_raises_into_the_program(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    providers = {**telemetry.providers, "tracer_provider": _Broken(shutdown_on_exit=False)}
    recorder = get_recorder(Scope("scope", "1"), **providers)
    for _ in range(3):
        _begin(recorder).finish()
    assert [r.name for r in caplog.records] == ["sandscope"], "logged once"
    assert ({"sandscope.component": "recorder.begin"}, 3.0) in telemetry.points("sandscope.errors")


def test_a_broken_verdict_is_missing_evidence(telemetry: Telemetry) -> None:
    def broken(_error: BaseException) -> Verdict:
        raise RuntimeError("bug in a classifier")

    recorder = telemetry.recorder(Scope("scope", "1"))
    execution = _begin(recorder, Site("torch", "load", "load", verdict_of=broken))
    execution.fail(ValueError())
    assert execution.verdict == MISSING_EVIDENCE


def test_nothing_is_recorded_while_instrumentation_is_suppressed(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    with suppress_instrumentation():
        assert recorder.begin(SITE) is None
    _begin(recorder).finish()
    assert len(telemetry.spans()) == 1


def test_details_reach_span_and_log_record(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    execution = _begin(recorder)
    execution.set_attributes({"a": 1})
    execution.set_attributes({"b": "two", "c": (1, 2)})
    execution.add_event("something", {"d": True})
    execution.measure(Metric("test.size", "histogram", "By", "A size"), 5)
    execution.finish()
    (span,) = telemetry.spans()
    assert span.attributes is not None
    assert {name: span.attributes[name] for name in "abc"} == {"a": 1, "b": "two", "c": (1, 2)}
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        ("something", {"d": True})
    ]
    assert telemetry.points("test.size")[0][1] == 1.0


class _GuestError(Exception):
    pass


def test_an_error_is_not_kept(telemetry: Telemetry) -> None:
    """Its traceback refers to the program's frames, and so keeps their objects alive."""
    recorder = telemetry.recorder(Scope("scope", "1"))
    execution = _begin(recorder)
    error = _GuestError("x" * 5000)
    gone = weakref.ref(error)
    execution.fail(error)
    del error
    assert gone() is None
    (log,) = telemetry.logs()
    assert log.log_record.attributes is not None
    assert len(str(log.log_record.attributes["exception.message"])) == 1024


def test_a_prepared_execution_that_does_not_take_place_is_not_recorded(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    execution = recorder.prepare(SITE)
    assert execution is not None
    assert trace.get_current_span(execution.context).get_span_context().is_valid
    del execution
    assert (telemetry.spans(), telemetry.logs()) == ([], [])
    assert all(value == 0 for _, value in telemetry.points("sandbox.execution.active"))


def test_a_prepared_execution_that_takes_place_has_begun_when_it_was_prepared(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    execution = recorder.prepare(replace(SITE, name="not known", current=False))
    assert execution is not None
    context, start = trace.get_current_span(execution.context).get_span_context(), execution.start_time
    execution.confirm(replace(SITE, name="wasm sub", attributes={"wasm.function": "sub"}, current=False))
    assert [value for _, value in telemetry.points("sandbox.execution.active")] == [1.0]
    execution.finish()
    (span,) = telemetry.spans()
    assert (span.name, span.context.span_id) == ("wasm sub", context.span_id)
    assert abs((span.start_time or 0) - start) < 1_000_000_000
    assert (span.attributes or {})["wasm.function"] == "sub"
    assert [value for _, value in telemetry.points("sandbox.executions")] == [1.0]
    assert [value for _, value in telemetry.points("sandbox.execution.active")] == [0.0]


def test_nothing_is_prepared_while_instrumentation_is_suppressed(telemetry: Telemetry) -> None:
    with suppress_instrumentation():
        assert telemetry.recorder(Scope("scope", "1")).prepare(SITE) is None
