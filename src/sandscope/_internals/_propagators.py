"""What the global propagator is."""

from __future__ import annotations

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_W3C = {TraceContextTextMapPropagator, W3CBaggagePropagator}

_last: tuple[TextMapPropagator | None, bool] = None, False


def injects_w3c(propagator: TextMapPropagator) -> bool:
    """Return whether a propagator injects W3C's trace context, beside it at most W3C's baggage, and nothing else.

    Returns:
        False, too, if what it consists of is not where this knows it.
    """
    global _last  # noqa: PLW0603 -- there is one global propagator, and each child asks for it
    last, answer = _last
    if last is not propagator:
        composite = type(propagator) is CompositePropagator
        parts = getattr(propagator, "_propagators", ()) if composite else (propagator,)
        types = {type(part) for part in parts}
        answer = TraceContextTextMapPropagator in types and types <= _W3C
        _last = propagator, answer
    return answer
