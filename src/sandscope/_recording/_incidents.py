"""What happens inside an execution, such as a limit that is reached: an event of its span, and a log record."""

from __future__ import annotations

from collections.abc import Mapping

from sandscope._details import Value
from sandscope._execution import Execution, Severity
from sandscope._recording._mapping import LIMIT, RUNTIME

SECURITY = "sandbox.security"
"""The name of an event: the sandbox refused an action."""
RESOURCE = "sandbox.resource"
"""The name of an event: a resource limit was reached."""
SECURITY_TYPE = "security.event.type"
"""The attribute by which the Collector finds security records."""

_SECURITY_TYPES = {
    SECURITY: "sandbox_violation",
    "sandbox.abuse": "sandbox_abuse",
    "sandbox.control": "sandbox_control_missing",
}
_LARGEST = (1 << 63) - 1
"""The largest integer in OTLP."""


def report_incident(
    execution: Execution,
    name: str,
    what: str,
    attributes: Mapping[str, Value],
    *,
    severity: Severity = "WARN",
    timestamp: int | None = None,
) -> None:
    """Add an event to an execution's span, unless the execution has ended, and emit a log record in its trace.

    Args:
        execution: in which it happened.
        name: of the event.
        what: happened; the log record's body, after the name of the execution's site.
        attributes: in addition to the runtime and the attributes of the site.
        severity: of the log record.
        timestamp: when it happened, in nanoseconds since the epoch, if not now.
    """
    site = execution.site
    attributes = {RUNTIME: site.runtime, **site.attributes, **attributes}
    if name in _SECURITY_TYPES:
        attributes[SECURITY_TYPE] = _SECURITY_TYPES[name]
    if site.traced:
        execution.add_event(name, attributes, timestamp)
    execution.log(name, f"{site.name}: {what}", severity=severity, attributes=attributes, timestamp=timestamp)


def limit_attributes(limit: str, usage: int | None = None, given: int | None = None) -> dict[str, Value]:
    """Return the attributes of a `RESOURCE` event.

    Args:
        limit: the resource.
        usage: what was used or requested, if it is known.
        given: the limit, if it is known, in the same unit.
    """
    attributes: dict[str, Value] = {LIMIT: limit}
    if usage is not None:
        attributes["sandbox.resource.usage"] = usage = min(usage, _LARGEST)
    if given is not None:
        attributes["sandbox.resource.limit"] = given = min(given, _LARGEST)
    if usage is not None and given:
        attributes["sandbox.resource.percentage"] = 100 * usage / given
    return attributes
