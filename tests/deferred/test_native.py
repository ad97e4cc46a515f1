"""The compiled code gives the same results as the Python code, byte for byte."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from deferred._programs import SITE, Program
from harness import lacking
from sandscope import OK, Verdict, _guard
from sandscope._deferred import _clock, _compiled, _hot_path
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope.instrumentation import Site

RUN = Site(
    "subprocess", "process", "run true", kind=trace.SpanKind.CLIENT, attributes={"a": (1, 2), "b": "é"}
)
LEAF = Site("wasmtime", "call", "wasm leaf", current=False)
FAILED = Verdict("RE", "guest", "re_exit_code")
REMOTE = SpanContext(2**127 + 1, 2**63 + 2, True, TraceFlags(1))
UNSAMPLED = SpanContext(3, 4, False, TraceFlags(0))
STATED = SpanContext(5, 6, False, TraceFlags(1), TraceState([("k", "v")]))
LOCAL = SpanContext(2**127 + 7, 2**63 + 8, False, TraceFlags(3))


@pytest.fixture(autouse=True)
def _compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    if _compiled.python_reason:
        lacking(
            f"the hot path is not compiled ({_compiled.python_reason}): install gcc and python3-dev, `make setup`"
        )
    monkeypatch.setattr(_clock, "refresh", lambda: None)  # what is encoded twice has the same times


def _inside(context: SpanContext | None) -> Context:
    return Context() if context is None else trace.set_span_in_context(NonRecordingSpan(context), Context())


def _in_python(program: Program, records: list[DeferredExecution]) -> tuple[bytes, bytes]:
    """Encode records with the Python code."""
    encoder = program.recorder.encoder
    one_by_one = _compiled.encode_one_by_one
    return (
        encoder._encode(one_by_one, records, encoder._span_templates, encoder._sdk_spans, None),
        encoder._encode(one_by_one, records, encoder._log_templates, encoder._sdk_logs, None),
    )


@pytest.mark.parametrize("parent", [None, LOCAL, REMOTE, UNSAMPLED, STATED, trace.INVALID_SPAN_CONTEXT])
def test_the_bytes_are_those_of_python(parent: SpanContext | None) -> None:
    """For roots, children and grandchildren, and different sites and verdicts, in any order."""
    program = Program()
    begin, records = program.recorder.begin, []
    token = attach(_inside(parent))
    for number in range(30):
        outer: Any = begin((SITE, RUN, LEAF)[number % 3])
        inner: Any = begin(LEAF)
        innermost: Any = begin(SITE)
        innermost.finish(FAILED if number % 4 == 0 else OK)
        if number % 5 == 0:
            inner.set_attribute("own", number)
        if number % 7 == 0:
            trace.get_current_span().get_span_context()  # creates its ids
        inner.finish()
        outer.finish()
        records += [innermost, inner, outer]
    detach(token)
    sampled = program.pipeline.identities.give(records)
    assert len(sampled) == (0 if parent is UNSAMPLED else len(records))
    encoder = program.recorder.encoder
    assert (encoder.spans(records), encoder.logs(records)) == _in_python(program, records)
    for innermost, inner, outer in zip(records[::3], records[1::3], records[2::3], strict=True):
        if outer.site.current:
            assert innermost.parent == inner.parent == outer.identity
            assert len({record.identity.trace_id for record in (innermost, inner, outer)}) == 1
    if parent is not None and parent.is_valid:
        assert {record.identity.trace_id for record in records} == {parent.trace_id}


def test_ids_are_as_a_tracer_makes_them() -> None:
    """Flags and trace state are the same as for an SDK span with the same parent; no id is used twice."""
    for parent in (None, LOCAL, REMOTE, UNSAMPLED, STATED):
        program = Program()
        token = attach(_inside(parent))
        program.run(50)
        span = program.tracer_provider.get_tracer("sdk").start_span("of the SDK's")
        detach(token)
        records: list[Any] = list(program.pipeline.queue)
        program.pipeline.identities.give(records)
        theirs = span.get_span_context()
        for record in records:
            assert (record.identity.trace_flags, record.identity.trace_state) == (
                theirs.trace_flags,
                theirs.trace_state,
            )
            assert record.identity.is_valid
            assert not record.identity.is_remote
        assert len({record.identity.span_id for record in records}) == 50


def test_the_programs_sampler_is_called() -> None:
    """The compiled code makes the decisions of OpenTelemetry's default sampler only."""
    program = Program(sampler=ParentBased(ALWAYS_OFF))
    program.run(10)
    assert program.pipeline.identities.give(list(program.pipeline.queue)) == []


def test_ids_that_were_read_are_kept() -> None:
    """Independent of the order in which they are read."""
    program = Program()
    asked: Any = program.recorder.begin(SITE)
    context = asked.get_span_context()
    child: Any = program.recorder.begin(SITE)
    child.finish()
    asked.finish()
    program.pipeline.identities.give([child, asked])
    assert asked.identity is context
    assert child.parent is context
    assert child.identity.trace_id == context.trace_id


@pytest.mark.parametrize("raises", [None, ValueError, KeyboardInterrupt, StopIteration])
@pytest.mark.parametrize("arguments", [((), {}), ((1, 2), {}), ((1,), {"key": 2}), ((), {"x": 3, "key": 4})])
def test_a_wrapped_method_has_the_same_arguments_and_results(
    raises: type[BaseException] | None, arguments: tuple[tuple[int, ...], dict[str, int]]
) -> None:
    """Arguments, result, and the same exception object."""
    error = None if raises is None else raises("no")

    class Guest:
        site = SITE

        def call(self, x: int = 0, *rest: int, key: int = 0) -> object:
            """Say what came."""
            if error is not None:
                raise error
            return self, x, rest, key, type(trace.get_current_span())

    program, plain, guest = Program(), Guest.call, Guest()
    Guest.call = program.recorder.wrap_method(plain, "site", SITE)  # type: ignore[method-assign]
    wrapped: Any = Guest.call
    assert (wrapped.__name__, wrapped.__doc__, wrapped.__wrapped__) == ("call", "Say what came.", plain)
    assert inspect.signature(wrapped) == inspect.signature(plain)
    assert inspect.signature(guest.call) == inspect.signature(plain.__get__(guest))
    args, kwargs = arguments
    for call in (guest.call, lambda *a, **k: wrapped(guest, *a, **k)):
        if error is None:
            result: Any = call(*args, **kwargs)
            assert result[:-1] == plain(guest, *args, **kwargs)[:-1]  # type: ignore[index]
            assert issubclass(result[-1], DeferredExecution)
        else:
            with pytest.raises(type(error)) as caught:
                call(*args, **kwargs)
            assert caught.value is error
    assert not trace.get_current_span().get_span_context().is_valid
    assert [record.verdict.status for record in program.pipeline.queue] == (
        ["IE"] * 2 if error else ["OK"] * 2
    )


class Named:
    """A class with a method that can be pickled by its name."""

    def call(self) -> int:
        return 1


def test_a_wrapped_method_can_be_kept_copied_and_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like a function."""
    wrapped: Any = Program().recorder.wrap_method(Named.call, "site", SITE)
    monkeypatch.setattr(Named, "call", wrapped)
    assert weakref.ref(wrapped)() is wrapped
    assert copy.copy(wrapped) is wrapped
    assert copy.deepcopy(wrapped) is wrapped
    assert pickle.loads(pickle.dumps(wrapped)) is wrapped  # noqa: S301 -- pickled here
    assert pickle.loads(pickle.dumps(Named().call))() == 1  # noqa: S301
    assert {wrapped: 1}[wrapped] == 1


def test_a_wrong_call_fails_with_pythons_message() -> None:
    """The same message as for a call of the original method."""

    class Guest:
        def call(self, x: int) -> None:
            pass

    plain = Guest.call
    wrapped = Program().recorder.wrap_method(plain, "site", SITE)
    for args in ((), (Guest(),), (Guest(), 1, 2)):
        with pytest.raises(TypeError) as before:
            plain(*args)  # type: ignore[arg-type]
        with pytest.raises(TypeError) as after:
            wrapped(*args)
        assert str(after.value) == str(before.value)


@pytest.mark.parametrize("arguments", [(1, 2), ("verdict", "more")])
def test_finish_refuses_what_python_refuses(arguments: tuple[Any, ...]) -> None:
    """Too many arguments, or unknown ones."""
    execution: Any = Program().recorder.begin(SITE)
    with pytest.raises(TypeError):
        execution.finish(*arguments)
    with pytest.raises(TypeError):
        execution.finish(unknown=1)
    assert execution.verdict is None
    execution.finish()


def test_nothing_is_leaked() -> None:
    """Neither records nor references, after returns, errors and nested calls."""
    program = Program()

    class Guest:
        site = SITE

        def call(self, x: int) -> None:
            if x == 1:
                raise ValueError(x)
            if x == 2:
                self.call(3)

    Guest.call = program.recorder.wrap_method(Guest.call, "site", SITE)  # type: ignore[method-assign]
    guest = Guest()

    def work() -> None:
        for number in range(400):
            with suppress(ValueError):
                guest.call(number % 4)
        program.pipeline.flush()
        program.spans.arrived.clear()
        program.logs.arrived.clear()
        gc.collect()

    work()
    before = sys.getrefcount(SITE), sys.getrefcount(guest), len(gc.get_objects())
    for _ in range(3):
        work()
    after = sys.getrefcount(SITE), sys.getrefcount(guest), len(gc.get_objects())
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 100


def test_an_execution_ends_even_if_its_failure_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the stack, for example."""

    def fail(_self: object, _error: BaseException) -> None:
        raise RecursionError

    program = Program()
    monkeypatch.setattr(DeferredExecution, "fail", fail)

    def method(_self: object) -> None:
        raise KeyError("no")

    call = program.recorder.wrap_method(method, "site", SITE)
    with pytest.raises(KeyError):
        call(object())
    assert not trace.get_current_span().get_span_context().is_valid
    assert [record.verdict.cause for record in program.pipeline.queue] == ["ie_missing_evidence"]
    assert _guard.counts() == {"recorder.finish": 1}


def test_both_kinds_of_hot_path_have_the_same_members() -> None:
    """Each can replace the other."""
    for compiled, python in (
        (_compiled.HotPath, _hot_path.HotPath),
        (_compiled.Record, _hot_path.Record),
    ):
        public = {name for name in vars(compiled) if not name.startswith("_")}
        assert public <= {name for name in dir(python) if not name.startswith("_")} | {"checked", "slots"}


def test_a_count_counts_calls() -> None:
    """It starts at 0, and each call adds 1."""
    count: Callable[[], int] = _compiled.new_count()
    assert [count(), count(), count()] == [0, 1, 2]
