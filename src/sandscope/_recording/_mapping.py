"""Maps an execution to a span, metric points and a log record; used by all recorders."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry._logs import SeverityNumber

from sandscope._details import Details, Value
from sandscope._execution import NO_ATTRIBUTES, Execution, Site
from sandscope._metric import DURATION, EXECUTIONS, LIMIT_VIOLATIONS, SECURITY_VIOLATIONS, Metric
from sandscope._recording._metric_attributes import allowed_attributes
from sandscope._verdict import MISSING_EVIDENCE, Verdict

EVENT_NAME = "sandbox.execution"

RUNTIME = "sandbox.runtime"
OPERATION = "sandbox.operation"
STATUS = "sandbox.verdict.status"
ACTOR = "sandbox.verdict.actor"
CAUSE = "sandbox.verdict.cause"
LIMIT = "sandbox.limit"
SECONDS = "sandbox.duration"
ERROR_TYPE = "error.type"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION = "exception"
"""The name of the span's event."""
EXCEPTION_STACK_TRACE = "exception.stacktrace"
COMPONENT = "sandscope.component"

_SEVERITIES = {
    "OK": (SeverityNumber.INFO, "INFO"),
    "IE": (SeverityNumber.ERROR, "ERROR"),
    "SV": (SeverityNumber.ERROR, "ERROR"),
    "ABUSE": (SeverityNumber.ERROR, "ERROR"),
}
_WARNING = (SeverityNumber.WARN, "WARN")


def start_attributes(site: Site) -> dict[str, Value]:
    """Return the span's initial attributes, which samplers can read."""
    return {RUNTIME: site.runtime, OPERATION: site.operation, **site.metric_attributes, **site.attributes}


def verdict_attributes(verdict: Verdict, error_type: str | None) -> dict[str, Value]:
    """Return the attributes of the span and the log record that describe the verdict."""
    attributes: dict[str, Value] = {STATUS: verdict.status, ACTOR: verdict.actor, CAUSE: verdict.cause}
    if verdict.limit is not None:
        attributes[LIMIT] = verdict.limit
    if verdict.status != "OK":
        attributes[ERROR_TYPE] = error_type or verdict.cause
    return attributes


def status_description(verdict: Verdict, details: Details | None) -> str:
    """Return the status description of a span whose verdict is not OK."""
    return verdict.cause if details is None or details.explanation is None else details.explanation


def end_attributes(execution: Execution) -> dict[str, Value]:
    """Return the span's attributes in addition to the initial ones; those of the verdict only after the end."""
    verdict, details = execution.verdict, execution.details
    own = {} if details is None else details.attributes
    if verdict is None:
        return dict(own)
    return {**own, **verdict_attributes(verdict, None if details is None else details.error_type)}


def active_attributes(site: Site) -> dict[str, str]:
    """Return the attributes of the metric of running executions."""
    return {RUNTIME: site.runtime, OPERATION: site.operation}


def base_attributes(site: Site, added: Mapping[str, str] = NO_ATTRIBUTES) -> dict[str, str]:
    """Return the attributes of all metrics of ended executions.

    Args:
        site: of the executions.
        added: the executions' values of the attributes that the program's settings allow on metrics.
    """
    return {**active_attributes(site), **site.metric_attributes, **added}


def ended_attributes(
    site: Site, verdict: Verdict, added: Mapping[str, str] = NO_ATTRIBUTES
) -> dict[str, str]:
    """Return the attributes of the duration metric and of the runtime's own metrics. See `base_attributes`."""
    return {**base_attributes(site, added), STATUS: verdict.status}


def counts(
    site: Site, verdict: Verdict, added: Mapping[str, str] = NO_ATTRIBUTES
) -> list[tuple[Metric, dict[str, str]]]:
    """Return the counters that an ended execution increments by 1, with their attributes. See `base_attributes`."""
    base = base_attributes(site, added)
    ended = {**base, STATUS: verdict.status, ACTOR: verdict.actor, CAUSE: verdict.cause}
    result: list[tuple[Metric, dict[str, str]]] = [(EXECUTIONS, ended)]
    if verdict.limit is not None:
        result.append((LIMIT_VIOLATIONS, {**base, LIMIT: verdict.limit}))
    if verdict.status == "SV":
        result.append((SECURITY_VIOLATIONS, {**base, CAUSE: verdict.cause}))
    return result


def points(execution: Execution) -> list[tuple[Metric, float, dict[str, str]]]:
    """Return the metric points of an ended execution: metric, value, attributes."""
    verdict, details = execution.verdict or MISSING_EVIDENCE, execution.details
    added = allowed_attributes(execution)
    ended = ended_attributes(execution.site, verdict, added)
    result: list[tuple[Metric, float, dict[str, str]]] = [
        (metric, 1, attributes) for metric, attributes in counts(execution.site, verdict, added)
    ]
    result.append((DURATION, execution.duration, ended))
    if details is not None:
        result.extend((metric, value, ended) for metric, value in details.measurements.items())
    return result


def severity(verdict: Verdict) -> tuple[SeverityNumber, str]:
    """Return the log record's severity: WARN if the guest failed, ERROR for violations and infrastructure errors."""
    return _SEVERITIES.get(verdict.status, _WARNING)


def body(site: Site, verdict: Verdict) -> str:
    """Return the log record's body: one line of text for a human reader."""
    return (
        f"{site.name}: {verdict.status} ({verdict.cause})" if verdict.status != "OK" else f"{site.name}: OK"
    )


def log_attributes(execution: Execution) -> dict[str, Value]:
    """Return the attributes of the execution's log record."""
    details = execution.details
    attributes = {
        **start_attributes(execution.site),
        **end_attributes(execution),
        SECONDS: execution.duration,
    }
    if details is not None and details.error_type is not None and ERROR_TYPE in attributes:
        attributes |= exception_attributes(details)
    return attributes


def exception_attributes(details: Details) -> dict[str, Value]:
    """Return the attributes of an exception, on the log record and on the span's event."""
    attributes: dict[str, Value] = {
        EXCEPTION_TYPE: details.error_type or "",
        EXCEPTION_MESSAGE: details.error_message,
    }
    if details.stack_trace is not None:
        attributes[EXCEPTION_STACK_TRACE] = details.stack_trace
    return attributes
