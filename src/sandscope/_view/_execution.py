"""One trace across processes as a waterfall, and what is known of the span that is chosen in it."""

from __future__ import annotations

from typing import Any

from sandscope._store import Database, SpanNode, find_traces, trace_range, trace_tree
from sandscope._view._evidence import evidence
from sandscope._view._filters import Filters
from sandscope._view._usage import usage

_MOST_SPANS = 1_000
_MOST_ATTRIBUTES = 200
_MOST_LOGS = 100
_DEEPEST = 12
"""Steps of indentation."""
_MOST_TICKS = 4
_MINUTE = 60 * 10**9
_LENGTH = 32
"""Characters of a trace's id."""
_SPAN = """
    SELECT name, kind, service, runtime, operation, start_time, start_ns, duration, status, actor, cause, "limit",
        exit_code, memory_peak, cpu_time, status_code, status_message, span_id, parent_span_id, scope, events, links,
        cardinality(attributes) AS attribute_count, map_entries(attributes)[:{most}] AS entries,
        cardinality(resource) AS resource_count, map_entries(resource)[:{most}] AS resource_entries
    FROM spans WHERE trace_id = ? AND span_id = ? AND start_ns BETWEEN ? AND ? LIMIT 1
"""
_LOGS = """
    SELECT time, severity, severity_number, event, body, span_id, service,
        map_entries(attributes)[:{most}] AS entries
    FROM logs WHERE trace_id = ? {of_span} AND time >= make_timestamp(?) - INTERVAL 1 MINUTE
    ORDER BY time LIMIT {limit}
"""


def ask(database: Database, _filters: Filters, parameters: dict[str, str]) -> dict[str, Any] | None:
    """Return what the page shows; None if there is no such span. The beginning of a trace's id is enough."""
    trace = _whole(database, parameters["trace"].lower())
    nodes = trace_tree(database, trace, _MOST_SPANS) if trace else []
    if not trace or not nodes:
        return None
    starts = [node.span["start_ns"] or 0 for node in nodes]
    truncated = len(nodes) == _MOST_SPANS
    first, last = trace_range(database, trace) if truncated else (min(starts), max(starts))
    identity = parameters.get("span") or nodes[0].span["span_id"]
    sql = _SPAN.format(most=_MOST_ATTRIBUTES)
    found = database.query(sql, [trace, identity, first, last], (first, last)).by_name()
    if not found:
        return None
    span = found[0]
    span["attributes"] = _pairs(span["entries"])
    span["resource"] = _pairs(span["resource_entries"])
    logs = _logs(database, trace, identity, first)
    return {
        "trace": trace,
        "span": span,
        "waterfall": _waterfall(nodes),
        "truncated": truncated,
        "logs": logs,
        "evidence": evidence(span, logs),
        "usage": usage(span, logs),
        "most_attributes": _MOST_ATTRIBUTES,
    }


def _whole(database: Database, beginning: str) -> str | None:
    """Return the id of the only trace that begins so."""
    if len(beginning) == _LENGTH:
        return beginning
    found = find_traces(database, beginning) if beginning else []
    return found[0] if len(found) == 1 else None


def _logs(database: Database, trace: str, span: str, first: int) -> list[dict[str, Any]]:
    sql = _LOGS.format(most=_MOST_ATTRIBUTES, limit=_MOST_LOGS, of_span="AND span_id = ?")
    logs = database.query(sql, [trace, span, first // 1000], (first - _MINUTE, None)).by_name()
    for log in logs:
        log["attributes"] = _pairs(log["entries"])
    return logs


def _pairs(entries: list[dict[str, str]] | None) -> dict[str, str]:
    return {entry["key"]: entry["value"] for entry in entries or []}


def _waterfall(nodes: list[SpanNode]) -> dict[str, Any]:
    """Return the rows of the picture; where a bar begins and how wide it is in percent."""
    first = min(node.span["start_ns"] or 0 for node in nodes)
    last = max((node.span["start_ns"] or 0) + int((node.span["duration"] or 0) * 1e9) for node in nodes)
    total = max(1, last - first)
    rows = [
        {
            **node.span,
            "depth": min(node.depth, _DEEPEST),
            "left": min(99.5, 100 * ((node.span["start_ns"] or 0) - first) / total),
            "width": max(0.25, 100 * (node.span["duration"] or 0) * 1e9 / total),
        }
        for node in nodes
    ]
    ticks = [(25 * number, total / 1e9 * number / _MOST_TICKS) for number in range(_MOST_TICKS + 1)]
    return {
        "rows": rows,
        "duration": total / 1e9,
        "ticks": ticks,
        "services": len({row["service"] for row in rows}),
    }
