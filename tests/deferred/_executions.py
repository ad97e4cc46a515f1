"""Random executions, with everything that guests, programs and instrumentations may add to a record."""

from __future__ import annotations

from enum import IntEnum
from importlib.metadata import version
from typing import Any, NamedTuple

from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from sandscope import OK, Verdict
from sandscope._deferred import _clock
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._details import Details, Event
from sandscope.instrumentation import MISSING_EVIDENCE, Site


class _Number(IntEnum):
    ONE = 1


class _Text(str):
    __slots__ = ()


class _Shape(tuple[int, ...]):
    """As torch.Size is."""

    __slots__ = ()


SDK = tuple(int(part) for part in version("opentelemetry-sdk").split(".")[:2])
_no_keys = [None, 5] if SDK >= (1, 45) else [5]
"""Keys that are none: an older SDK encodes None, as if it were the empty text."""

_words = st.text(max_size=12)
_broken_words = st.text(st.characters(), max_size=6)
"""Half surrogate pairs among them."""
_own_keys = st.sampled_from(
    [
        *("sandbox.runtime", "sandbox.verdict.status", "sandbox.limit", "sandbox.duration"),
        *("error.type", "exception.type", "exception.message", "\0", "", "a", "b"),
    ]
)
_keys: Any = st.one_of(_own_keys, _words, _broken_words)
_integers = st.one_of(st.integers(-300, 300), st.integers(-(2**70), 2**70))
_scalars: Any = st.one_of(_words, st.booleans(), _integers, st.floats(), _broken_words)
_tuples: Any = st.one_of(
    *(st.lists(kind, max_size=3).map(tuple) for kind in (_words, st.booleans(), _integers, st.floats()))
)
_odd = st.one_of(
    st.none(),
    st.binary(max_size=5),
    st.sampled_from([_Number.ONE, _Text("sub"), _Shape((1, 2)), object, 1j, {3}]),
)
_values: Any = st.recursive(
    st.one_of(_scalars, _odd),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=3)),
    max_leaves=6,
)
_attributes: Any = st.one_of(
    st.just({}),
    st.dictionaries(_words.filter(bool), st.one_of(_scalars, _tuples), max_size=5),
    st.dictionaries(st.one_of(_keys, st.sampled_from(_no_keys)), _values, max_size=5),
)
_plain_attributes: Any = st.dictionaries(_keys, st.one_of(_scalars, _tuples), max_size=4)
_times = st.integers(0, 2**64 - 1)

sites = st.builds(
    Site,
    st.sampled_from(["wasmtime", "torch"]),
    _words,
    _words,
    st.sampled_from(SpanKind),
    _plain_attributes,
)
verdicts = st.one_of(
    st.just(OK),
    st.just(MISSING_EVIDENCE),
    st.builds(
        Verdict,
        st.sampled_from(["OK", "RE", "TLE", "SV", "IE"]),
        st.just("kernel"),
        _words,
        st.sampled_from([None, "fuel"]),
    ),
)
_contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.integers(0, 3).map(TraceFlags),
    st.sampled_from([None, TraceState(), TraceState([("a", "1"), ("b", "2=3")])]),
)
_any_contexts = st.one_of(_contexts, st.just(SpanContext(0, 0, False)))


_statuses: Any = st.sampled_from(
    [Status(), Status(StatusCode.OK), Status(StatusCode.ERROR, "why"), *StatusCode, "no status"]
)
_errors = st.sampled_from([ValueError("why"), UnicodeError("of a class with a longer name"), SystemExit()])


@st.composite
def parents(draw: st.DrawFn) -> Context:
    """Return a context: empty, without a span, or with a valid or invalid one."""
    base = draw(st.sampled_from([Context(), Context({"unrelated": 1})]))
    parent = draw(st.none() | _any_contexts)
    return base if parent is None else set_span_in_context(NonRecordingSpan(parent), base)


@st.composite
def details(draw: st.DrawFn) -> Details | None:
    """Return details as an instrumentation sets them."""
    if draw(st.booleans()):
        return None
    made = Details()
    made.attributes = draw(_attributes)
    events = st.builds(Event, _words, _times, _attributes)
    made.events = draw(st.one_of(st.just([]), st.lists(events, max_size=3)))
    if draw(st.booleans()):
        made.error_type, made.error_message = draw(_words), draw(_broken_words)
        made.explanation, made.stack_trace = draw(st.none() | _words), draw(st.none() | _words)
    return made


@st.composite
def calls(draw: st.DrawFn) -> list[tuple[str, tuple[Any, ...]]]:
    """Return calls of the current span by a program, as (method, arguments)."""
    methods: list[Any] = [
        st.tuples(st.just("set_attribute"), st.tuples(_keys, _values)),
        st.tuples(st.just("set_attributes"), st.tuples(_attributes)),
        st.tuples(st.just("add_event"), st.tuples(_words, _attributes | st.none(), _times)),
        st.tuples(st.just("record_exception"), st.tuples(_errors, _attributes | st.none(), _times)),
        st.tuples(st.just("add_link"), st.tuples(_any_contexts, _attributes | st.none())),
        st.tuples(st.just("update_name"), st.tuples(_words)),
        st.tuples(st.just("set_status"), st.tuples(_statuses)),
        st.tuples(st.just("set_status"), st.tuples(_statuses, _words)),
    ]
    return draw(st.one_of(st.just([]), st.lists(st.one_of(*methods), max_size=4)))


class Run(NamedTuple):
    """The input of an execution, for any recorder."""

    site: Site
    verdict: Verdict
    parent: Context
    details: Details | None
    calls: list[tuple[str, tuple[Any, ...]]]


def known(site: dict[str, Any], own: dict[Any, Any], verdict: Verdict = OK) -> Run:
    """Return a run that ended with an error, with attributes of the site and its own attributes."""
    made = Details()
    made.attributes, made.error_type, made.error_message = own, "ValueError", "why"
    return Run(Site("torch", "load", "load", attributes=site), verdict, Context(), made, [])


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Return a run that both recorders have to record in the same way."""
    return Run(draw(sites), draw(verdicts), draw(parents()), draw(details()), draw(calls()))


@st.composite
def executions(draw: st.DrawFn) -> DeferredExecution:
    """Return an ended execution that has its ids."""
    run = Run(draw(sites), draw(verdicts), draw(parents()), draw(details()), draw(calls()))
    return write(
        ended(run.site, run.verdict, run.parent, details=run.details, identity=draw(_contexts)), run.calls
    )


def ended(
    site: Site,
    verdict: Verdict = OK,
    parent: Context | None = None,
    *,
    details: Details | None = None,
    identity: SpanContext | None = None,
    times: tuple[int, int] = (1_700_000_000_000_000_000, 1_700_000_000_000_012_345),
) -> DeferredExecution:
    """Return an ended execution, as the drain passes it to the encoder."""
    execution = object.__new__(DeferredExecution)
    execution.site, execution.verdict, execution.details = site, verdict, details
    execution.parent_context = Context() if parent is None else parent
    execution.identity = identity or SpanContext(2**127 + 5, 2**63 + 6, False, TraceFlags(3))
    offset = _clock.offset
    execution.started, execution.ended = times[0] - offset, times[1] - offset
    return execution


def write(execution: DeferredExecution, calls: list[tuple[str, tuple[Any, ...]]]) -> DeferredExecution:
    """Call methods of the span of an execution as if it were still running."""
    verdict, execution.verdict = execution.verdict, None
    for method, arguments in calls:
        getattr(execution, method)(*arguments)
    execution.verdict = verdict
    return execution
