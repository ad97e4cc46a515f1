"""What an execution writes on its span, whichever recorder's it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from sandscope import _guard, _mapping
from sandscope._execution import Execution


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


def write_end(execution: Execution, span: Span) -> None:
    """Write what is known only when an execution has ended."""
    write_attributes(span, _mapping.end_attributes(execution))
    for event in execution.details.events if execution.details is not None else ():
        try:
            span.add_event(event.name, event.attributes, event.time)
        except Exception as error:  # noqa: BLE001 -- one event must not cost the span
            _guard.report("encode", error)
    if execution.verdict is not None and execution.verdict.status != "OK":
        span.set_status(Status(StatusCode.ERROR, execution.verdict.cause))
