"""What an execution writes on its span, whichever recorder's it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from sandscope import _guard
from sandscope._execution import Details, Execution
from sandscope._recording import _mapping


def write_attributes(span: Span, attributes: Mapping[str, Any]) -> None:
    """Set attributes; one that the SDK cannot take, such as a list within itself, costs no other."""
    try:
        span.set_attributes(attributes)
    except Exception:  # noqa: BLE001 -- as above
        for key, value in attributes.items():
            try:
                span.set_attribute(key, value)
            except Exception as error:  # noqa: BLE001 -- as above
                _guard.report("encode", error)


def write_events(span: Span, details: Details) -> None:
    """Add the events of an execution; one that the SDK cannot take costs no other."""
    for event in details.events:
        try:
            span.add_event(event.name, event.attributes, event.time)
        except Exception as error:  # noqa: BLE001 -- as above
            _guard.report("encode", error)


def write_end(execution: Execution, span: Span) -> None:
    """Write what the execution itself has kept; once it has ended, also how that was."""
    write_attributes(span, _mapping.end_attributes(execution))
    if execution.details is not None:
        write_events(span, execution.details)
    if execution.verdict is not None and execution.verdict.status != "OK":
        span.set_status(Status(StatusCode.ERROR, execution.verdict.cause))
