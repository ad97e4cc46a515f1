"""Writes data of an execution to a span; used by all recorders."""

from __future__ import annotations

from opentelemetry.trace import Span, Status, StatusCode

from sandscope._details import Details
from sandscope._execution import Execution
from sandscope._recording import _mapping


def write_events(span: Span, details: Details) -> None:
    """Add the events of an execution to its span."""
    for event in details.events:
        span.add_event(event.name, event.attributes, event.time)


def write_end(execution: Execution, span: Span) -> None:
    """Write the execution's attributes and events to its span; after the end, also the verdict and the status."""
    span.set_attributes(_mapping.end_attributes(execution))
    details, verdict = execution.details, execution.verdict
    if details is not None:
        write_events(span, details)
    if verdict is None or verdict.status == "OK":
        return
    if details is not None and details.stack_trace is not None:
        span.add_event(_mapping.EXCEPTION, _mapping.exception_attributes(details), execution.end_time)
    span.set_status(Status(StatusCode.ERROR, _mapping.status_description(verdict, details)))
