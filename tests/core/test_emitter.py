"""Measurements and log records outside of executions, and executions that are only counted."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber

from harness import Telemetry
from sandscope import Execution, Verdict, _guard
from sandscope._deferred._deferred_recorder import DeferredRecorder
from sandscope._recording import _emitter
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope.instrumentation import MISSING_EVIDENCE, Metric, Recorder, Scope, Site

SITE = Site("wasmtime", "call", "wasm add")
COUNTED = Site("wasmtime", "call", "wasm add", traced=False)
INSTANCES = Metric("wasm.active_instances", "updowncounter", "", "Instances")
SIZE = Metric("wasm.size", "histogram", "By", "Sizes")
LOADS = Metric("wasm.loads", "counter", "{load}", "Loads")


@pytest.fixture
def recorder(telemetry: Telemetry) -> Recorder:
    """Return a recorder of an SDK that keeps telemetry in memory."""
    return telemetry.recorder(Scope("scope", "1"))


def test_values_outside_of_executions_reach_their_metric(recorder: Recorder, telemetry: Telemetry) -> None:
    """A collection includes everything that was measured before."""
    for change in (1, 1, -1):
        recorder.measure(INSTANCES, change)
    recorder.measure(LOADS, 2, {"kind": "file"})
    assert telemetry.points("wasm.active_instances") == [({}, 1)]
    assert telemetry.points("wasm.loads") == [({"kind": "file"}, 2)]


def test_values_that_are_recorded_together_reach_their_metrics(
    recorder: Recorder, telemetry: Telemetry
) -> None:
    """Counts that are the same tuple each time add up, as do counts that are equal, and each value is kept."""
    same = ((INSTANCES, 1, None), (LOADS, 2, {"kind": "file"}))
    for size in (1, 2, 300):
        recorder.measure_all(same, (SIZE, size, None))
        recorder.measure_all(((INSTANCES, -1, None),))
    recorder.measure_all((), (SIZE, 5, {"kind": "file"}))
    assert telemetry.points("wasm.active_instances") == [({}, 0)]
    assert telemetry.points("wasm.loads") == [({"kind": "file"}, 6)]
    points = telemetry.metrics()["wasm.size"].data.data_points
    found = {
        tuple(point.attributes.items()): (point.count, point.sum, point.min, point.max) for point in points
    }
    assert found == {(): (3, 303, 1, 300), (("kind", "file"),): (1, 5, 5, 5)}


@pytest.mark.parametrize("bad", [-1, float("nan"), "many"], ids=str)
def test_an_invalid_value_of_a_histogram_does_not_affect_other_values(
    bad: Any, recorder: Recorder, telemetry: Telemetry
) -> None:
    """The SDK rejects it, or the error is reported; the values around it are recorded."""
    for size in (1, bad, 2):
        recorder.measure(SIZE, size)
    recorder.measure(LOADS, 1)
    (point,) = telemetry.metrics()["wasm.size"].data.data_points
    assert (point.count, point.sum) == (2, 3)
    assert telemetry.points("wasm.loads") == [({}, 1)]


def test_an_invalid_value_does_not_affect_other_values(recorder: Recorder, telemetry: Telemetry) -> None:
    """A value that an instrument rejects is reported; later values are recorded."""
    bad: Any = "many"
    recorder.measure(LOADS, 1)
    recorder.measure(INSTANCES, bad)
    recorder.measure(LOADS, 1)
    assert telemetry.points("wasm.loads") == [({}, 2)]


def test_values_that_no_reader_collects_are_bounded(
    recorder: Recorder, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values of counters are summed. Other values beyond the bound are counted as errors; no counter is affected."""
    monkeypatch.setattr(_emitter, "MAX_PENDING", 3)
    for _ in range(5):
        recorder.measure(LOADS, 1)
        recorder.measure(SIZE, 1)
    assert telemetry.points("wasm.loads") == [({}, 5)]
    assert telemetry.points("wasm.size") == [({}, 3)]
    assert _guard.counts() == {"metrics.queue": 2}


def test_a_log_record_is_in_the_trace_of_its_execution(recorder: Recorder, telemetry: Telemetry) -> None:
    """By default, it is in the current trace; else in the trace of the given execution, even if that is not current."""
    execution = recorder.begin(Site("wasmtime", "call", "wasm add", current=False))
    assert execution is not None
    recorder.log("wasm.refused", "a path", severity="WARN", attributes={"path": "/x"}, execution=execution)
    execution.finish()
    (span,) = telemetry.spans()
    assert span.context is not None
    record = next(log.log_record for log in telemetry.logs() if log.log_record.event_name == "wasm.refused")
    assert (record.trace_id, record.span_id) == (span.context.trace_id, span.context.span_id)
    assert (record.body, record.severity_text) == ("a path", "WARN")
    assert record.severity_number is SeverityNumber.WARN
    assert dict(record.attributes or {}) == {"path": "/x"}


def test_a_log_record_without_an_execution_is_in_the_current_trace(
    recorder: Recorder, telemetry: Telemetry
) -> None:
    """The current span may be the program's own."""
    tracer = telemetry.tracer_provider.get_tracer("program")
    with tracer.start_as_current_span("outer") as outer:
        recorder.log("wasm.refused", "an import")
    (record,) = (log.log_record for log in telemetry.logs())
    assert record.span_id == outer.get_span_context().span_id


def test_a_broken_log_record_is_reported(recorder: Recorder) -> None:
    """Never raised."""
    severity: Any = "LOUD"
    recorder.log("wasm.refused", "an import", severity=severity)
    assert _guard.counts() == {"logs.emit": 1}


def test_an_execution_without_a_trace_is_counted_only(recorder: Recorder, telemetry: Telemetry) -> None:
    """It has no span and no log record; the parent of spans inside is the enclosing span."""
    tracer = telemetry.tracer_provider.get_tracer("program")
    outer = recorder.begin(SITE)
    counted = recorder.begin(COUNTED)
    assert outer is not None
    assert counted is not None
    assert trace.get_current_span() is trace.get_current_span(outer.context)
    with tracer.start_as_current_span("inside", context=counted.context):
        pass
    counted.finish()
    outer.finish()
    inside, ended = telemetry.spans()
    assert (inside.name, ended.name) == ("inside", "wasm add")
    assert inside.parent == ended.context
    assert len(telemetry.logs()) == 1
    ((_, count),) = telemetry.points("sandbox.executions")
    assert count == 2
    assert telemetry.points("sandbox.execution.active") == [
        ({"sandbox.runtime": "wasmtime", "sandbox.operation": "call"}, 0)
    ]


def test_after_a_fall_back_the_direct_recorder_takes_values_and_log_records() -> None:
    """The program has replaced the providers, so they get all later telemetry."""
    deferred, of_program = Telemetry("deferred"), Telemetry()
    recorder, instead = (each.recorder(Scope("scope", "1")) for each in (deferred, of_program))
    assert isinstance(recorder, DeferredRecorder)
    assert isinstance(instead, DirectRecorder)
    recorder.fall_back_to(instead)
    recorder.measure(LOADS, 1)
    recorder.measure(SIZE, 5)
    recorder.log("wasm.refused", "an import")
    assert of_program.points("wasm.loads") == of_program.points("wasm.size") == [({}, 1)]
    assert len(of_program.logs()) == 1
    assert deferred.points("wasm.loads") == deferred.logs() == []
    for telemetry in (deferred, of_program):
        telemetry.shutdown()


def test_a_site_is_called_on_failure_before_the_execution_ends(
    recorder: Recorder, telemetry: Telemetry
) -> None:
    """It may add attributes to the span and the log record; its own errors are reported."""
    heard = []

    def failed(execution: Execution, verdict: Verdict, error: BaseException) -> None:
        heard.append((execution.verdict, verdict, error))
        execution.add_event("noticed", {"n": 1})
        execution.log("wasm.noticed", "it failed", severity="ERROR")
        raise KeyError

    execution = recorder.begin(Site("wasmtime", "call", "wasm add", failed=failed))
    assert execution is not None
    error = ValueError("wrong")
    execution.fail(error)
    (span,) = telemetry.spans()
    (log,) = telemetry.logs("wasm.noticed")
    assert heard == [(None, MISSING_EVIDENCE, error)]
    assert [event.name for event in span.events] == ["noticed"]
    assert (log.log_record.span_id, log.log_record.severity_text) == (span.context.span_id, "ERROR")
    assert execution.verdict == MISSING_EVIDENCE
    assert _guard.counts() == {"failed": 1}


def test_a_site_is_not_called_on_success(recorder: Recorder) -> None:
    """The hook has no cost for executions that succeed."""
    heard: list[Any] = []
    site = Site("wasmtime", "call", "wasm add", failed=lambda *given: heard.append(given))
    execution = recorder.begin(site)
    assert execution is not None
    execution.finish()
    assert heard == []
