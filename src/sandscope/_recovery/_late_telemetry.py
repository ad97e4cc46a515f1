"""Turns executions of a black box into the spans, log records and metrics that their process would have sent."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from sandscope._deferred import _clock
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._readable import readable_log, readable_span
from sandscope._details import Details
from sandscope._metric import DURATION, RECOVERED, Metric
from sandscope._recording import _instruments, _mapping
from sandscope._recovery._contents import HOST_KILLED, Contents, Found
from sandscope._version import __version__

RECOVERED_ATTRIBUTE = "sandscope.recovered"
DETAILS_LOST = "sandscope.recovered.details_lost"
_INSTANCE = "service.instance.id"


def state_of(found: Found) -> str:
    """Return the value of ``sandscope.recovered``."""
    return "ended" if found.outcome else "running"


def spans_of(contents: Contents) -> list[ReadableSpan]:
    """Return the spans that are still to be sent."""
    return [
        readable_span(_execution(found), contents.resource, found.scope)
        for found in contents.executions
        if found.has_span
    ]


def logs_of(contents: Contents) -> list[ReadableLogRecord]:
    """Return the log records that are still to be sent. How long those took that were running is not known."""
    records = []
    for found in contents.executions:
        if found.has_log:
            record = readable_log(_execution(found), contents.resource, found.scope)
            if not found.outcome and record.log_record.attributes is not None:
                record.log_record.attributes = {
                    key: value
                    for key, value in record.log_record.attributes.items()
                    if key != _mapping.SECONDS
                }
            records.append(record)
    return records


def write_metrics(contents: Contents, provider: Any) -> None:
    """Count what the process has not counted. How long those took that were running is not known.

    Args:
        contents: of its black box.
        provider: a meter provider with the resource of `resource_of`.
    """
    instruments: dict[tuple[object, Metric], _instruments.Instrument] = {}
    for found in contents.executions:
        if found.is_counted:
            continue
        execution = _execution(found)
        for metric, value, attributes in _mapping.points(execution):
            if metric is DURATION and not found.outcome:
                continue
            key = found.scope, metric
            if key not in instruments:
                meter = provider.get_meter(found.scope.name, found.scope.version)
                instruments[key] = _instruments.create(meter, metric)
            _instruments.write_of(instruments[key])(value, attributes, execution.context)
    recovered = provider.get_meter("sandscope", __version__).create_counter(
        RECOVERED.name, RECOVERED.unit, RECOVERED.description
    )
    states = Counter(state_of(found) for found in contents.executions)
    states["unreadable"] = contents.unreadable
    for state, count in states.items():
        if count:
            recovered.add(count, {RECOVERED_ATTRIBUTE: state})


def resource_of(contents: Contents) -> Resource:
    """Return the resource of the metrics: the process's, but another instance, whose counters it does not replace."""
    return contents.resource.merge(Resource({_INSTANCE: str(uuid.uuid4())}))


def _execution(found: Found) -> DeferredExecution:
    execution = object.__new__(DeferredExecution)
    outcome = found.outcome
    execution.site, execution.verdict = found.site, outcome.verdict if outcome else HOST_KILLED
    execution.started, execution.ended = found.start - _clock.offset, found.end - _clock.offset
    execution.token = None
    execution.identity = found.identity
    execution.parent_context = Context()
    if found.parent is not None:
        execution.parent_context = set_span_in_context(NonRecordingSpan(found.parent), Context())
    execution.details = details = Details()
    details.attributes[RECOVERED_ATTRIBUTE] = state_of(found)
    if found.lacks_details:
        details.attributes[DETAILS_LOST] = True
    details.error_type = outcome.error_type if outcome else None
    return execution
