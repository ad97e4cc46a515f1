"""The execution that a child's telemetry has to belong to."""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry import trace

from sandscope._execution import Execution


class Origin(NamedTuple):
    """What a child's spans and log records must have, or get.

    Attributes:
        trace_id: of the execution's trace.
        span_id: of the execution's span.
        trace_state: as a header.
        started: nanoseconds since the epoch.
    """

    trace_id: bytes
    span_id: bytes
    trace_state: str
    started: int


def origin_of(execution: Execution) -> Origin | None:
    """Return the origin for a child; None if the execution has no trace."""
    identity = trace.get_current_span(execution.context).get_span_context()
    if not identity.is_valid:
        return None
    return Origin(
        identity.trace_id.to_bytes(16, "big"),
        identity.span_id.to_bytes(8, "big"),
        identity.trace_state.to_header() if identity.trace_state else "",
        execution.start_time,
    )
