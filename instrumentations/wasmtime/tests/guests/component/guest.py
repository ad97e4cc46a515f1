"""A component in Python: it computes, reads its environment, fails, and emits spans by `wasi:otel`."""

import os

from wit_world import WitWorld as Exports
from wit_world.imports import tracing, types, wall_clock

SCOPE = types.InstrumentationScope("guest", None, None, [])
OWN_TRACE = "0123456789abcdef0123456789abcdef"


class WitWorld(Exports):
    """What the world exports."""

    def answer(self) -> int:
        """Compute."""
        return 42

    def environment(self) -> list[tuple[str, str]]:
        """Return all variables."""
        return list(os.environ.items())

    def fail(self) -> None:
        """Fail with an open span."""
        tracing.on_start(context("00000000000000aa"))
        raise RuntimeError("asked to")

    def work(self) -> str:
        """Emit a span inside a span, in a trace that it makes up, and return the host's trace and span ids."""
        outer, inner = context("00000000000000aa"), context("00000000000000bb")
        tracing.on_start(outer)
        tracing.on_start(inner)
        seen = tracing.current_span_context()
        tracing.on_end(span("inner", inner, tracing.Status_Error("no luck")))
        tracing.on_end(span("outer", outer, tracing.Status_Unset()))
        return f"{seen.trace_id} {seen.span_id}"


def context(span_id: str) -> tracing.SpanContext:
    """Return the ids of a span."""
    return tracing.SpanContext(OWN_TRACE, span_id, tracing.TraceFlags.SAMPLED, False, [])


def span(name: str, own: tracing.SpanContext, status: tracing.Status) -> tracing.SpanData:
    """Return a span that has ended."""
    now = wall_clock.Datetime(0, 0)
    attributes = [types.KeyValue("language", '"Python"'), types.KeyValue("size", "3")]
    kind = tracing.SpanKind.INTERNAL
    return tracing.SpanData(own, "", kind, name, now, now, attributes, [], [], status, SCOPE, 0, 0, 0)
