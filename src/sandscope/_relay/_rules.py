"""Which spans and log records of a child are sent on, and as what. No input is trusted."""

from __future__ import annotations

from itertools import chain
from typing import Any

from sandscope._relay._origin import Origin
from sandscope._relay._relayed_records import Outcome

RELAYED = "sandbox.relayed"
"""The attribute that every record gets which a child has sent."""
PREFIX = "guest."
"""Goes before names that only this process itself may use, as with what guests of wasmtime emit."""
RESERVED = ("sandbox.", "sandscope", "security.", "service.", "health.", "cicd.")
"""The beginnings of these names: rules, alerts and the security log go by them."""

MOST_ITEMS = 128
"""Attributes, events or links of a record; the default limit of OpenTelemetry's SDKs."""
_MOST_RECORD = 64 << 10
"""Bytes of a record."""
SLACK = 60_000_000_000
"""Nanoseconds by which a record may be from before the start of the execution, or from the future."""


def refusal_of_span(span: Any, origin: Origin, latest: int) -> Outcome | None:
    """Return why a span is not sent on; None if it is.

    Args:
        span: a decoded message.
        origin: the execution of the child.
        latest: the latest time that it may have, in nanoseconds since the epoch.
    """
    if _is_too_large(span) or len(span.events) > MOST_ITEMS or len(span.links) > MOST_ITEMS:
        return "too_large"
    if any(len(each.attributes) > MOST_ITEMS for each in chain(span.events, span.links)):
        return "too_large"
    if span.trace_id != origin.trace_id:
        return "other_trace"
    if span.span_id == origin.span_id:
        return "other_span"
    if len(span.span_id) != 8 or not any(span.span_id) or len(span.parent_span_id) not in {0, 8}:
        return "invalid"
    is_timely = _is_timely(origin, latest, span.start_time_unix_nano, span.end_time_unix_nano)
    return None if is_timely else "other_time"


def refusal_of_log(log: Any, origin: Origin, latest: int) -> Outcome | None:
    """Return why a log record is not sent on; None if it is. See `refusal_of_span`."""
    if _is_too_large(log):
        return "too_large"
    if any(log.trace_id) and log.trace_id != origin.trace_id:
        return "other_trace"
    if len(log.span_id) not in {0, 8}:
        return "invalid"
    times = (each for each in (log.time_unix_nano, log.observed_time_unix_nano) if each)
    return None if _is_timely(origin, latest, *times) else "other_time"


def adopt_span(span: Any, origin: Origin, now: int) -> None:
    """Change a span so that it is part of the execution, and does not look like one of this process's own."""
    if not any(span.parent_span_id):
        span.parent_span_id = origin.span_id
    span.trace_state = origin.trace_state
    for link in [link for link in span.links if link.trace_id != origin.trace_id]:
        span.links.remove(link)
    for event in span.events:
        rename(event)
    for each in (*span.links, span):
        _rename_attributes(each)
    _mark(span)


def adopt_log(log: Any, origin: Origin, now: int) -> None:
    """Change a log record in the same way. One without a trace, or a time, gets those of the execution, and ``now``."""
    if not any(log.trace_id) or not any(log.span_id):
        log.trace_id, log.span_id = origin.trace_id, origin.span_id
    if not log.time_unix_nano and not log.observed_time_unix_nano:
        log.observed_time_unix_nano = now
    if log.event_name.startswith(RESERVED):
        log.event_name = PREFIX + log.event_name
    _rename_attributes(log)
    _mark(log)


def rename(named: Any) -> None:
    """Change the name and the attributes of a scope or an event, if they are reserved."""
    if named.name.startswith(RESERVED):
        named.name = PREFIX + named.name
    _rename_attributes(named)


def _rename_attributes(owner: Any) -> None:
    for attribute in owner.attributes:
        if attribute.key.startswith(RESERVED):
            attribute.key = PREFIX + attribute.key


def _is_too_large(record: Any) -> bool:
    return bool(record.ByteSize() > _MOST_RECORD or len(record.attributes) >= MOST_ITEMS)


def _is_timely(origin: Origin, latest: int, *times: int) -> bool:
    return all(origin.started - SLACK <= each <= latest for each in times)


def _mark(record: Any) -> None:
    mark = record.attributes.add()
    mark.key, mark.value.bool_value = RELAYED, True
