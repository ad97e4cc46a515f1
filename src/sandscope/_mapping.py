"""The one place that maps an execution to a span, metric points and a log record."""

from __future__ import annotations

from opentelemetry._logs import SeverityNumber

from sandscope._execution import Execution, Site, Value
from sandscope._metric import DURATION, EXECUTIONS, LIMIT_VIOLATIONS, SECURITY_VIOLATIONS, Metric
from sandscope._verdict import MISSING_EVIDENCE, Verdict

EVENT_NAME = "sandbox.execution"

RUNTIME = "sandbox.runtime"
OPERATION = "sandbox.operation"
STATUS = "sandbox.verdict.status"
ACTOR = "sandbox.verdict.actor"
CAUSE = "sandbox.verdict.cause"
LIMIT = "sandbox.limit"
SPAN_DURATION = "sandbox.duration"
ERROR_TYPE = "error.type"
PLACE = "sandscope.place"

_LONGEST_MESSAGE = 1024
"""Characters: a guest may choose what stands in its exceptions."""

_SEVERITIES = {
    "OK": (SeverityNumber.INFO, "INFO"),
    "IE": (SeverityNumber.ERROR, "ERROR"),
    "SV": (SeverityNumber.ERROR, "ERROR"),
    "ABUSE": (SeverityNumber.ERROR, "ERROR"),
}
_WARNING = (SeverityNumber.WARN, "WARN")


def start_attributes(site: Site) -> dict[str, Value]:
    """Return what a span carries from its start, for samplers to see."""
    return {RUNTIME: site.runtime, OPERATION: site.operation, **site.attributes}


def end_attributes(execution: Execution) -> dict[str, Value]:
    """Return what a span gets when its execution has ended."""
    verdict = execution.verdict or MISSING_EVIDENCE
    attributes = {
        **execution.attributes,
        STATUS: verdict.status,
        ACTOR: verdict.actor,
        CAUSE: verdict.cause,
    }
    if verdict.limit is not None:
        attributes[LIMIT] = verdict.limit
    if verdict.status != "OK":
        error = execution.error
        attributes[ERROR_TYPE] = verdict.cause if error is None else type(error).__qualname__
    return attributes


def active_attributes(site: Site) -> dict[str, str]:
    """Return the attributes by which running executions are counted."""
    return {RUNTIME: site.runtime, OPERATION: site.operation}


def points(execution: Execution) -> list[tuple[Metric, float, dict[str, str]]]:
    """Return the metric points of an ended execution: metric, value, attributes (closed sets only)."""
    verdict = execution.verdict or MISSING_EVIDENCE
    base = active_attributes(execution.site)
    ended = {**base, STATUS: verdict.status}
    result: list[tuple[Metric, float, dict[str, str]]] = [
        (EXECUTIONS, 1, {**ended, ACTOR: verdict.actor, CAUSE: verdict.cause}),
        (DURATION, execution.duration, ended),
    ]
    if verdict.limit is not None:
        result.append((LIMIT_VIOLATIONS, 1, {**base, LIMIT: verdict.limit}))
    if verdict.status == "SV":
        result.append((SECURITY_VIOLATIONS, 1, {**base, CAUSE: verdict.cause}))
    result.extend((metric, value, ended) for metric, value in execution.measurements.items())
    return result


def severity(verdict: Verdict) -> tuple[SeverityNumber, str]:
    """Return the log record's severity: a guest's failure is a warning, an unexpected end an error."""
    return _SEVERITIES.get(verdict.status, _WARNING)


def body(execution: Execution) -> str:
    """Return the log record's one line for a human reader."""
    verdict = execution.verdict or MISSING_EVIDENCE
    reason = "" if verdict.status == "OK" else f" ({verdict.cause})"
    return f"{execution.site.name}: {verdict.status}{reason} in {execution.duration * 1e3:.3g} ms"


def log_attributes(execution: Execution) -> dict[str, Value]:
    """Return the attributes of the execution's log record."""
    attributes = {
        **start_attributes(execution.site),
        **end_attributes(execution),
        SPAN_DURATION: execution.duration,
    }
    if execution.error is not None and ERROR_TYPE in attributes:
        attributes["exception.type"] = type(execution.error).__qualname__
        attributes["exception.message"] = str(execution.error)[:_LONGEST_MESSAGE]
    return attributes
