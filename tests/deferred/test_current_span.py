"""While an execution runs, it is the current span; the program can add attributes, events and links to it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from deferred._programs import SITE, Program
from sandscope import OK, Verdict, _guard


def _run(program: Program, inside: Any, verdict: Verdict = OK) -> Any:
    execution: Any = program.recorder.begin(SITE)
    inside(trace.get_current_span())
    execution.finish(verdict)
    assert program.pipeline.flush()
    (span,) = program.spans.arrived
    return span


def test_it_is_the_execution() -> None:
    program = Program()
    execution: Any = program.recorder.begin(SITE)
    span = trace.get_current_span()
    assert span is execution
    assert isinstance(span, trace.Span)
    assert span.is_recording()
    execution.finish()
    assert not span.is_recording()
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_attributes_events_links_name_and_status() -> None:
    other = SpanContext(7, 8, False, TraceFlags(1))

    def inside(span: trace.Span) -> None:
        span.set_attribute("one", 1)
        span.set_attributes({"two": 2})
        span.add_event("event", {"three": 3})
        span.record_exception(ValueError("why"))
        span.add_link(other)
        span.update_name("renamed")
        span.set_status(StatusCode.ERROR, "so")
        span.end()

    span = _run(Program(), inside)
    assert (span.attributes["one"], span.attributes["two"]) == (1, 2)
    assert [event.name for event in span.events] == ["event", "exception"]
    assert span.events[1].attributes["exception.message"] == "why"
    assert [link.context for link in span.links] == [other]
    assert isinstance(span.links[0], Link)
    assert span.name == "renamed"
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "so")


def test_a_verdict_other_than_ok_is_the_status_unless_the_program_says_ok() -> None:
    verdict = Verdict("RE", "guest", "re_trap")
    program = Program()
    span = _run(program, lambda span: span.set_status(Status(StatusCode.ERROR, "so")), verdict)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "re_trap")
    program.spans.arrived.clear()
    span = _run(program, lambda span: span.set_status(Status(StatusCode.OK)), verdict)
    assert span.status.status_code is StatusCode.OK, "as OpenTelemetry specifies"
    assert span.attributes["sandbox.verdict.status"] == "RE"


def test_attributes_that_the_program_sets_are_on_the_log_record_too() -> None:
    program = Program()
    span = _run(program, lambda span: span.set_attribute("one", 1))
    (log,) = program.logs.arrived
    assert span.attributes["one"] == log.log_record.attributes["one"] == 1


def test_a_list_is_copied_when_it_is_set() -> None:
    values = [1, 2]

    def inside(span: trace.Span) -> None:
        span.set_attribute("values", values)
        span.add_event("event", {"values": values})
        values.append(3)

    span = _run(Program(), inside)
    assert span.attributes["values"] == (1, 2)


def test_attributes_and_events_are_limited() -> None:
    def inside(span: trace.Span) -> None:
        for number in range(100_000):
            span.set_attribute(f"key {number}", number)
            span.add_event(f"event {number}")
        details = getattr(span, "details", None)
        assert details is not None
        assert len(details.attributes) == len(details.events) == 1024

    span = _run(Program(), inside)
    assert len(span.attributes) == len(span.events) == 128


def test_the_span_can_be_read_while_it_runs_and_afterwards() -> None:
    program, seen = Program(), list[Any]()

    def inside(span: Any) -> None:
        span.set_attribute("one", 1)
        span.add_event("first")
        seen.append((span, dict(span.attributes), [event.name for event in span.events]))

    sent = _run(program, inside, Verdict("RE", "guest", "re_trap"))
    ((span, attributes, events),) = seen
    assert attributes == {"sandbox.runtime": "wasmtime", "sandbox.operation": "call", "one": 1}
    assert events == ["first"]
    assert (span.name, span.attributes, span.status.description) == (sent.name, sent.attributes, "re_trap")


@pytest.mark.parametrize(
    ("method", "arguments"), [("add_event", ("no attributes", 5)), ("set_attributes", (5,))]
)
def test_attributes_that_are_no_mapping_are_reported_and_do_not_raise(
    method: str, arguments: tuple[Any, ...]
) -> None:
    span = _run(Program(), lambda span: getattr(span, method)(*arguments))
    assert set(span.attributes) >= {"sandbox.runtime"}
    assert _guard.counts() == {f"execution.{method}": 1}


def test_attributes_set_by_several_threads_at_once_are_kept() -> None:
    def inside(span: Any) -> None:
        together = threading.Barrier(8)

        def write(number: int) -> None:
            together.wait(10)
            span.set_attribute(f"of {number}", number)

        threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    span = _run(Program(), inside)
    assert {span.attributes[f"of {number}"] for number in range(8)} == set(range(8))


def test_the_span_does_not_change_after_the_end() -> None:
    program = Program()
    kept: list[Any] = []
    span = _run(program, kept.append)
    (late,) = kept
    late.set_attribute("late", 1)
    late.add_event("late")
    late.update_name("late")
    late.add_link(span.context)
    late.set_status(StatusCode.ERROR)
    assert (late.name, list(late.events), list(late.links)) == (SITE.name, [], [])
    assert "late" not in late.attributes


def test_a_log_record_emitted_inside_is_in_the_same_trace() -> None:
    program, kept = Program(), InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # untyped upstream
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
    logger = provider.get_logger("mine")
    span = _run(program, lambda _: logger.emit(LogRecord(body="hello")))
    record = kept.get_finished_logs()[0].log_record
    assert (record.trace_id, record.span_id) == (span.context.trace_id, span.context.span_id)
    own_record = program.logs.arrived[0].log_record
    assert (own_record.trace_id, own_record.span_id) == (span.context.trace_id, span.context.span_id)


def test_a_wrapped_method_is_the_current_span_and_restores_the_previous_one() -> None:
    program, tracer = Program(), None
    tracer = program.tracer_provider.get_tracer("mine")
    seen: list[Any] = []

    class Guest:
        def call(self, fail: bool = False) -> int:
            seen.append(trace.get_current_span())
            with tracer.start_as_current_span("child") as child:
                seen.append(child)
            if fail:
                raise ValueError("why")
            return 5

    call = program.recorder.wrap_method(Guest.call, "site", SITE)
    assert call(Guest()) == 5
    with tracer.start_as_current_span("outer") as outer:
        with pytest.raises(ValueError, match="why"):
            call(Guest(), fail=True)
        assert trace.get_current_span() is outer
    assert program.pipeline.flush()
    first, first_child, second, second_child = seen
    assert first_child.parent == first.get_span_context()
    assert second_child.parent == second.get_span_context()
    assert second.parent == outer.get_span_context()
    assert [span.status.status_code for span in program.spans.arrived] == [StatusCode.UNSET, StatusCode.ERROR]


def test_a_thread_that_is_ended_by_system_exit_inside_is_recorded() -> None:
    program = Program()

    def leave(_guest: object) -> None:
        raise SystemExit

    call = program.recorder.wrap_method(leave, "site", SITE)

    def work() -> None:
        with pytest.raises(SystemExit):
            call(None)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert program.pipeline.flush()
    assert [record.log_record.attributes["exception.type"] for record in program.logs.arrived] == [
        "SystemExit"
    ] * 5
    assert (program.executions(), program.active()) == (5, 0)
