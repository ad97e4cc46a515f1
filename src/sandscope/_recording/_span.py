"""Writes data of an execution to a span; used by all recorders."""

from __future__ import annotations

from opentelemetry.trace import Span, Status, StatusCode

from sandscope._execution import Details, Execution
from sandscope._recording import _mapping


def write_events(span: Span, details: Details) -> None:
    """Add the events of an execution to its span."""
    for event in details.events:
        span.add_event(event.name, event.attributes, event.time)


def write_end(execution: Execution, span: Span) -> None:
    """Write the execution's attributes and events to its span; after the end, also the verdict and the status."""
    span.set_attributes(_mapping.end_attributes(execution))
    if execution.details is not None:
        write_events(span, execution.details)
    if execution.verdict is not None and execution.verdict.status != "OK":
        span.set_status(Status(StatusCode.ERROR, execution.verdict.cause))
