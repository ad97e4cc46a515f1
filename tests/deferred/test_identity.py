"""Ids, parents and sampling decisions are the same as with the SDK's tracer."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from deferred._programs import SITE, Program
from sandscope import _guard
from sandscope.instrumentation import Site

REMOTE = SpanContext(2**127 + 1, 2**63 + 1, True, TraceFlags(1), TraceState([("vendor", "x=1")]))
UNSAMPLED = SpanContext(2**127 + 2, 2**63 + 2, True, TraceFlags(0))


class _Counting(IdGenerator):
    def __init__(self) -> None:
        self._next = itertools.count(1)

    def generate_trace_id(self) -> int:
        return 1000 + next(self._next)

    def generate_span_id(self) -> int:
        return next(self._next)


class _Inside:
    """Makes a span current."""

    def __init__(self, parent: SpanContext) -> None:
        self._parent = trace.set_span_in_context(NonRecordingSpan(parent))

    def __enter__(self) -> None:
        self._token = context.attach(self._parent)

    def __exit__(self, *_error: object) -> None:
        context.detach(self._token)


def _arrived(program: Program) -> list[Any]:
    assert program.pipeline.flush()
    return sorted(program.spans.arrived, key=lambda span: span.start_time)


def test_a_span_of_the_sdk_is_the_parent_and_can_be_the_child() -> None:
    program = Program()
    tracer = program.tracer_provider.get_tracer("mine")
    with tracer.start_as_current_span("outer") as outer:
        execution: Any = program.recorder.begin(SITE)
        with tracer.start_as_current_span("inner") as inner:
            pass
        execution.finish()
        assert trace.get_current_span() is outer
    (span,) = _arrived(program)
    assert span.parent == outer.get_span_context()
    assert inner.parent == span.context
    assert inner.parent.trace_id == outer.get_span_context().trace_id


def test_an_execution_within_an_execution() -> None:
    program = Program()
    outer: Any = program.recorder.begin(SITE)
    inner: Any = program.recorder.begin(SITE)
    inner.finish()
    outer.finish()
    first, second = _arrived(program)
    assert (first.parent, second.parent) == (None, first.context)
    assert second.context.trace_id == first.context.trace_id


def test_an_execution_that_is_not_current_is_no_parent() -> None:
    program = Program()
    outer: Any = program.recorder.begin(Site("wasmtime", "call", "wasm add", current=False))
    assert trace.get_current_span() is trace.INVALID_SPAN
    program.run(1)
    outer.finish()
    assert [span.parent for span in _arrived(program)] == [None, None]


def test_a_remote_parent_and_its_trace_state_are_continued() -> None:
    program = Program()
    with _Inside(REMOTE):
        program.run(1)
    (span,) = _arrived(program)
    assert span.parent is REMOTE
    assert span.context.trace_id == REMOTE.trace_id
    assert span.context.trace_state == REMOTE.trace_state
    assert not span.context.is_remote


@pytest.mark.parametrize("inside", [UNSAMPLED, None])
def test_executions_that_are_not_sampled_are_counted(inside: SpanContext | None) -> None:
    program = Program(sampler=ALWAYS_OFF if inside is None else DEFAULT_ON)
    with _Inside(inside or SpanContext(0, 0, False)):
        program.run(20)
        execution: Any = program.recorder.begin(SITE)
        assert not trace.get_current_span().is_recording()
        execution.finish()
    assert _arrived(program) == []
    assert program.outcomes("span") == {"unsampled": 21}
    assert program.outcomes("log") == {"sent": 21}
    assert program.executions() == 21


def test_the_sampler_decides_the_fraction_of_traces() -> None:
    sampler = ParentBased(TraceIdRatioBased(0.5))
    program = Program(sampler=sampler)
    program.run(2000)
    spans = _arrived(program)
    assert 800 < len(spans) < 1200
    assert program.outcomes("span") == {"sent": len(spans), "unsampled": 2000 - len(spans)}
    bound = TraceIdRatioBased(0.5).bound
    flags = {record.log_record.trace_id: record.log_record.trace_flags for record in program.logs.arrived}
    assert all((trace_id & (2**64 - 1) < bound) == bool(flag & 1) for trace_id, flag in flags.items())
    assert program.executions() == len(flags) == 2000


def test_a_custom_id_generator_gives_the_ids() -> None:
    program = Program(id_generator=_Counting())
    program.run(3)
    contexts = [span.context for span in _arrived(program)]
    assert all(1000 < made.trace_id < 1010 and made.span_id < 10 for made in contexts)
    assert not any(made.trace_flags & 2 for made in contexts), "the random flag is not set"


@pytest.mark.parametrize("sampler", [DEFAULT_ON, ALWAYS_ON, ParentBased(TraceIdRatioBased(1.0))])
@pytest.mark.parametrize("parent", [None, REMOTE, UNSAMPLED])
def test_flags_are_those_of_an_sdk_span(sampler: Sampler, parent: SpanContext | None) -> None:
    program = Program(sampler=sampler)
    with _Inside(parent or SpanContext(0, 0, False)):
        execution: Any = program.recorder.begin(SITE)
        execution.finish()
        span_context = program.tracer_provider.get_tracer("mine").start_span("span").get_span_context()
    program.pipeline.settle()
    assert execution.get_span_context().trace_flags == span_context.trace_flags
    assert execution.get_span_context().trace_state == span_context.trace_state


def test_ids_differ() -> None:
    program = Program()
    program.run(3000)
    contexts = [span.context for span in _arrived(program)]
    assert len({made.trace_id for made in contexts}) == len({made.span_id for made in contexts}) == 3000


def test_a_sampler_gets_the_same_arguments_as_from_the_sdk_and_may_add_attributes() -> None:
    seen = []

    class Adding(Sampler):
        def should_sample(self, *args: Any, **more: Any) -> SamplingResult:
            seen.append((args, more))
            return SamplingResult(Decision.RECORD_AND_SAMPLE, {"by": "sampler"}, TraceState([("a", "b")]))

        def get_description(self) -> str:
            return "adding"

    program = Program(sampler=Adding())
    execution: Any = program.recorder.begin(Site("wasmtime", "call", "wasm add", attributes={"x": 1}))
    execution.finish()
    (span,) = _arrived(program)
    assert span.attributes["by"] == "sampler"
    assert span.context.trace_state == TraceState([("a", "b")])
    assert len(seen) == 1, "once for each execution"
    assert "wasm add" in seen[0][0]


@pytest.mark.parametrize("broken", ["sampler", "ids"])
def test_if_a_sampler_or_generator_raises_only_the_span_is_lost(broken: str) -> None:
    class Raising(_Counting, Sampler):
        def should_sample(self, *_args: Any, **_more: Any) -> SamplingResult:
            raise ValueError("no decision")

        def generate_trace_id(self) -> int:
            raise ValueError("no id")

        def get_description(self) -> str:
            return "raising"

    program = Program(**({"sampler": Raising()} if broken == "sampler" else {"id_generator": Raising()}))
    execution: Any = program.recorder.begin(SITE)
    assert trace.get_current_span().get_span_context().is_valid
    execution.finish()
    program.run(99)
    assert _arrived(program) == []
    assert program.outcomes("span") == {"not_identified": 100}
    assert program.outcomes("log") == {"sent": 100}
    assert program.executions() == 100
    assert _guard.counts()["recorder.identify"] == 100


def test_executions_may_be_nested_deeper_than_the_stack() -> None:
    program, depth = Program(), 2 * sys.getrecursionlimit()
    executions = [program.recorder.begin(SITE) for _ in range(depth)]
    for execution in reversed(executions):
        assert execution is not None
        execution.finish()
    assert program.pipeline.flush()
    spans = _arrived(program)
    assert [span.parent.span_id for span in spans[1:]] == [span.context.span_id for span in spans[:-1]]
    assert len(spans) == depth
    assert len({span.context.trace_id for span in spans}) == 1


def test_children_of_an_execution_without_a_decision_are_not_sampled_either() -> None:
    class Raising(Sampler):
        def should_sample(self, parent_context: Any, *_args: Any, **_more: Any) -> SamplingResult:
            if trace.get_current_span(parent_context).get_span_context().is_valid:
                return SamplingResult(Decision.DROP)
            raise ValueError("no decision")

        def get_description(self) -> str:
            return "raising"

    program = Program(sampler=Raising())
    outer: Any = program.recorder.begin(SITE)
    program.run(3)
    outer.finish()
    assert _arrived(program) == []
    assert program.outcomes("span") == {"not_identified": 1, "unsampled": 3}
