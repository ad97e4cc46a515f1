"""Children get what OpenTelemetry's own propagators would give them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import TraceState

from sandscope import inject_environment

SPANS = {
    "sampled": SpanContext(1 << 120 | 7, 5, is_remote=False, trace_flags=TraceFlags(3)),
    "unsampled": SpanContext(7, 1 << 60, is_remote=False),
    "with a state": SpanContext(7, 5, False, TraceFlags(1), TraceState([("a", "1"), ("b", "2")])),
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
        (),
    ],
    ids=["usual", "trace", "baggage", "none"],
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
