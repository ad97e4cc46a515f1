"""Child processes get the variables that OpenTelemetry's propagators inject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator, default_setter
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import TraceState

from harness import Telemetry
from sandscope._child._propagation import inject_execution
from sandscope._internals import _propagators
from sandscope.instrumentation import Scope, Site, inject_environment


class Own(TraceContextTextMapPropagator):
    """A propagator of the program; it is not hashable."""

    __hash__ = None  # type: ignore[assignment] # Python's own way to say so, which types do not know

    def inject(self, carrier: Any, context: Any = None, setter: Any = default_setter) -> None:
        super().inject(carrier, context, setter)
        setter.set(carrier, "own", "1")


SPANS = {
    "sampled": SpanContext(1 << 120 | 7, 5, is_remote=False, trace_flags=TraceFlags(3)),
    "unsampled": SpanContext(7, 1 << 60, is_remote=False),
    "with a state": SpanContext(7, 5, False, TraceFlags(1), TraceState([("a", "1"), ("b", "2")])),
    "half": SpanContext(7, 0, is_remote=False),
    "too long": SpanContext(1 << 130, 5, is_remote=False),
    "invalid": INVALID_SPAN_CONTEXT,
}


def _parent(span: SpanContext, *, with_baggage: bool) -> Context:
    parent = trace.set_span_in_context(NonRecordingSpan(span), Context())
    return baggage.set_baggage("tenant", "a", parent) if with_baggage else parent


@pytest.mark.parametrize("keeps_baggage", [True, False])
@pytest.mark.parametrize("with_baggage", [True, False])
@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
@pytest.mark.parametrize(
    "parts",
    [
        (TraceContextTextMapPropagator(), W3CBaggagePropagator()),
        (TraceContextTextMapPropagator(),),
        (W3CBaggagePropagator(),),
        (Own(), W3CBaggagePropagator()),
        (),
    ],
    ids=["checked", "trace", "baggage", "own", "none"],
)
def test_the_variables_are_the_propagators_headers(
    monkeypatch: pytest.MonkeyPatch,
    parts: Sequence[TextMapPropagator],
    span: SpanContext,
    with_baggage: bool,
    keeps_baggage: bool,
) -> None:
    propagator = CompositePropagator(parts)
    monkeypatch.setattr(propagate, "get_global_textmap", lambda: propagator)
    monkeypatch.setenv("SANDSCOPE_BAGGAGE", "false" if keeps_baggage else "true")
    parent = _parent(span, with_baggage=with_baggage)
    headers: dict[str, str] = {}
    propagator.inject(headers, parent)
    expected = {name.upper(): value for name, value in headers.items()}
    if keeps_baggage:
        expected.pop("BAGGAGE", None)
    environment: dict[str, str] = {}
    inject_environment(environment, parent)
    assert environment == expected


@pytest.mark.parametrize("with_baggage", [False, True])
@pytest.mark.parametrize("span", ["sampled", "unsampled", "with a state", None])
def test_an_executions_variables_are_those_of_its_context(
    monkeypatch: pytest.MonkeyPatch, telemetry: Telemetry, span: str | None, with_baggage: bool
) -> None:
    monkeypatch.setenv("SANDSCOPE_BAGGAGE", "true")
    parent = Context() if span is None else _parent(SPANS[span], with_baggage=False)
    token = attach(baggage.set_baggage("tenant", "a", parent) if with_baggage else parent)
    try:
        execution = telemetry.recorder(Scope("test", "1")).begin(Site("docker", "run", "run", current=False))
    finally:
        detach(token)
    assert execution is not None
    injected: dict[str, str] = {}
    inject_execution(injected, execution)
    of_context: dict[str, str] = {}
    inject_environment(of_context, execution.context)
    assert injected == of_context
    assert ("TRACEPARENT" in injected, "BAGGAGE" in injected) == (True, with_baggage)
    execution.finish()


@pytest.mark.parametrize("propagator", [TraceContextTextMapPropagator(), Own()])
def test_a_propagator_need_not_be_a_composite(
    monkeypatch: pytest.MonkeyPatch, propagator: TextMapPropagator
) -> None:
    monkeypatch.setattr(propagate, "get_global_textmap", lambda: propagator)
    environment: dict[str, str] = {}
    inject_environment(environment, _parent(SPANS["sampled"], with_baggage=False))
    assert environment.pop("OWN", None) == ("1" if isinstance(propagator, Own) else None)
    assert environment == {"TRACEPARENT": f"00-{1 << 120 | 7:032x}-{5:016x}-03"}


def test_a_composite_whose_parts_are_elsewhere_injects_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_propagators, "_last", (None, False))
    assert _propagators.injects_w3c(CompositePropagator([TraceContextTextMapPropagator()]))
    moved = CompositePropagator([])
    del moved._propagators
    assert not _propagators.injects_w3c(moved)
