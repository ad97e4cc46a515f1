"""Reads a black box: the executions that were running, and those that had ended and had not been delivered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from sandscope._deferred._box_layout import (
    CLOCK,
    CLOCK_AT,
    COUNT,
    ENDED,
    FREE,
    HAS_DETAILS,
    IDS,
    LEGEND,
    LEGEND_USED_AT,
    LENGTH,
    LOG_DONE,
    METRICS_DONE,
    RUNNING,
    SLOT_SIZE,
    SLOTS,
    SPAN_DONE,
    TIMES,
    TIMES_AT,
)
from sandscope._execution import Site
from sandscope._verdict import MISSING_EVIDENCE, Verdict

HOST_KILLED = Verdict("IE", "unknown", "ie_host_killed")
"""The process in which it ran has ended without notice, and so has the execution; who ended the process is unknown."""


class Outcome(NamedTuple):
    """How an execution has ended: the verdict, and the class of the exception, if there was one."""

    verdict: Verdict
    error_type: str | None


class Found(NamedTuple):
    """An execution in a black box.

    Attributes:
        scope: of the instrumentation.
        site: the function or program that was executed.
        outcome: how it has ended; None if it was running.
        start: nanoseconds since the epoch.
        end: the same; the last sign of life of its process if it was running.
        identity: its span context.
        parent: the span context of its parent; None if it has none, or if it is not known yet.
        has_span, has_log: whether its span and its log record are still to be sent.
        is_counted: whether its process has counted it in metrics that are exported.
        lacks_details: whether it had attributes or events of its own, which are lost.
    """

    scope: InstrumentationScope
    site: Site
    outcome: Outcome | None
    start: int
    end: int
    identity: SpanContext
    parent: SpanContext | None
    has_span: bool
    has_log: bool
    is_counted: bool
    lacks_details: bool


class Contents(NamedTuple):
    """What a black box holds.

    Attributes:
        resource: of its process.
        executions: those that are to be reported.
        unreadable: the number of slots that make no sense.
    """

    resource: Resource
    executions: list[Found]
    unreadable: int


class UnreadableError(ValueError):
    """A file that no process has written to its end."""


def read(content: bytes) -> Contents:
    """Return what a black box holds.

    Raises:
        UnreadableError: if it has no legend.
    """
    try:
        legend = _Legend(content)
    except (ValueError, TypeError, KeyError, LookupError, RecursionError) as error:
        raise UnreadableError(f"a black box without a legend: {type(error).__name__}") from error
    offset, seen = CLOCK.unpack_from(content, CLOCK_AT)
    found, unreadable = [], 0
    for at in range(SLOTS, SLOTS + COUNT * SLOT_SIZE, SLOT_SIZE):
        if TIMES.unpack_from(content, at + TIMES_AT)[-1] == FREE:
            continue
        execution = _execution(content, at, legend, offset, seen)
        if execution is None:
            unreadable += 1
        else:
            found.append(execution)
    latest = max((execution.end for execution in found), default=0)
    executions = [
        execution if execution.outcome else execution._replace(end=max(latest, execution.end))
        for execution in found
    ]
    return Contents(legend.resource, executions, unreadable)


def _execution(content: bytes, at: int, legend: _Legend, offset: int, seen: int) -> Found | None:
    high, low, span, parent = IDS.unpack_from(content, at)
    started, ended, site_number, outcome_number, flags, marks, state = TIMES.unpack_from(
        content, at + TIMES_AT
    )
    found = legend.sites.get(site_number)
    if state not in {RUNNING, ENDED} or found is None or started <= 0 or (state == ENDED and ended < started):
        return None
    scope, site = found
    outcome = None
    if state == ENDED:
        outcome = legend.outcomes.get(outcome_number, Outcome(MISSING_EVIDENCE, None))
    own = SpanContext(high << 64 | low, span, False, TraceFlags(flags))
    identity = own if span else _made_up(content, at)
    is_sampled = identity.trace_flags.sampled and site.traced
    return Found(
        scope,
        site,
        outcome,
        started + offset,
        (ended if state == ENDED else max(started, seen)) + offset,
        identity,
        SpanContext(identity.trace_id, parent, False, identity.trace_flags) if parent else None,
        is_sampled and not marks & SPAN_DONE,
        site.traced and not marks & LOG_DONE,
        bool(marks & METRICS_DONE),
        bool(marks & HAS_DETAILS),
    )


def _made_up(content: bytes, at: int) -> SpanContext:
    """Return ids for an execution that had none yet; always the same, so that a second reader's would be equal."""
    digest = hashlib.sha256(content[:160] + content[at : at + SLOT_SIZE]).digest()
    trace, span = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")
    return SpanContext(trace or 1, span or 1, False, TraceFlags(TraceFlags.SAMPLED))


class _Legend:
    """What the numbers in slots mean."""

    def __init__(self, content: bytes) -> None:
        entries = _entries(content)
        first = next(entries)
        self.resource = Resource(_values(first["resource"]), first.get("schema_url"))
        self.sites: dict[int, tuple[InstrumentationScope, Site]] = {}
        self.outcomes: dict[int, Outcome] = {}
        for entry in entries:
            if "site" in entry:
                self.sites[int(entry["number"])] = _site(*entry["site"])
            elif "outcome" in entry:
                *verdict, error_type = entry["outcome"]
                self.outcomes[int(entry["number"])] = Outcome(Verdict(*verdict), error_type)


def _entries(content: bytes) -> Iterator[dict[str, Any]]:
    (used,) = LENGTH.unpack_from(content, LEGEND_USED_AT)
    at, end = LEGEND, LEGEND + used
    if not used or end > SLOTS:
        raise UnreadableError("no legend")
    while at < end:
        (length,) = LENGTH.unpack_from(content, at)
        at += LENGTH.size
        if at + length > end:
            raise UnreadableError("a legend that is cut off")
        entry = json.loads(content[at : at + length])
        if not isinstance(entry, dict):
            raise UnreadableError("no legend")
        yield entry
        at += length


def _site(  # noqa: PLR0917 -- as the writer has written it
    scope: str,
    version: str,
    runtime: str,
    operation: str,
    name: str,
    kind: str,
    traced: bool,
    attributes: Mapping[str, Any],
    metric_attributes: Mapping[str, str],
) -> tuple[InstrumentationScope, Site]:
    site = Site(
        runtime,
        operation,
        name,
        SpanKind[kind],
        _values(attributes),
        traced=traced,
        metric_attributes=dict(metric_attributes),
    )
    return InstrumentationScope(scope, version), site


def _values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()}
