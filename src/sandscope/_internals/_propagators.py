"""The type of the global propagator."""

from __future__ import annotations

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_W3C = {TraceContextTextMapPropagator, W3CBaggagePropagator}

_last: tuple[TextMapPropagator | None, bool] = None, False


def injects_w3c(propagator: TextMapPropagator) -> bool:
    """Return whether a propagator injects W3C trace context, optionally W3C baggage, and nothing else.

    Returns:
        False also if the parts of a composite propagator cannot be determined.
    """
    global _last  # noqa: PLW0603 -- caches the answer for the global propagator
    last, answer = _last
    if last is not propagator:
        composite = type(propagator) is CompositePropagator
        parts = getattr(propagator, "_propagators", ()) if composite else (propagator,)
        types = {type(part) for part in parts}
        answer = TraceContextTextMapPropagator in types and types <= _W3C
        _last = propagator, answer
    return answer
