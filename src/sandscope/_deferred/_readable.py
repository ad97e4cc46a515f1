"""Converts executions to spans and log records of the SDK, equal to those of the direct recorder."""

from __future__ import annotations

import inspect
from typing import Any

from opentelemetry._logs import LogRecord
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import LogRecordLimits, ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._recording import _mapping
from sandscope._verdict import MISSING_EVIDENCE

# Older SDKs accept more types of values on log records than on spans, but only with this argument.
_FOR_LOGS: dict[str, Any] = (
    {"extended_attributes": True}
    if "extended_attributes" in inspect.signature(BoundedAttributes).parameters
    else {}
)


def readable_span(
    execution: DeferredExecution,
    resource: Resource,
    scope: InstrumentationScope,
    limits: SpanLimits | None = None,
) -> ReadableSpan:
    """Return an ended execution as an ended span of the SDK.

    Args:
        execution: an ended execution.
        resource: the resource of the telemetry.
        scope: the instrumentation scope.
        limits: the span limits; from the environment by default.
    """
    return ReadableSpan(
        context=execution.get_span_context(),
        parent=execution.parent,
        resource=resource,
        kind=execution.kind,
        start_time=execution.start_time,
        end_time=execution.end_time,
        instrumentation_scope=scope,
        **execution.span_data(limits).fields,
    )


def readable_log(
    execution: DeferredExecution,
    resource: Resource,
    scope: InstrumentationScope,
    limits: LogRecordLimits | None = None,
) -> ReadableLogRecord:
    """Return an ended execution as a log record of the SDK.

    Args:
        execution: an ended execution.
        resource: the resource of the telemetry.
        scope: the instrumentation scope.
        limits: the log record limits; from the environment by default.
    """
    limits = limits or LogRecordLimits()
    verdict = execution.verdict or MISSING_EVIDENCE
    number, text = _mapping.severity(verdict)
    record = LogRecord(
        timestamp=execution.end_time,
        observed_timestamp=execution.end_time,
        context=execution.context,
        severity_number=number,
        severity_text=text,
        body=_mapping.body(execution.site, verdict),
        event_name=_mapping.EVENT_NAME,
    )
    # Not passed to the constructor, whose parameter accepts fewer types of mappings.
    record.attributes = log_attributes(execution, limits)
    return ReadableLogRecord(record, resource, scope, limits)


def log_attributes(execution: DeferredExecution, limits: LogRecordLimits) -> BoundedAttributes:
    """Return the attributes of an execution's log record, with the limits applied."""
    count, max_length = limits.max_log_record_attributes, limits.max_log_record_attribute_length
    return BoundedAttributes(count, _mapping.log_attributes(execution), False, max_length, **_FOR_LOGS)
