"""One trace as a tree."""

from __future__ import annotations

from typing import Any, NamedTuple

from sandscope._store._database import Database

_RANGE = "SELECT min(start_ns), max(start_ns) FROM spans WHERE trace_id = ?"
_TRACE = """
    SELECT span_id, parent_span_id, name, service, kind, runtime, start_ns, duration, status, actor, cause, "limit",
        status_code, status_message, attributes['wasm.module'] AS module
    FROM spans WHERE trace_id = ? AND start_ns BETWEEN ? AND ? ORDER BY start_ns, duration DESC LIMIT ?
"""
_MOST = 100_000
"""Spans of a trace."""


class SpanNode(NamedTuple):
    """A span of a trace.

    Attributes:
        depth: how many spans of this trace it is inside of.
        span: by column.
    """

    depth: int
    span: dict[str, Any]


def trace_tree(database: Database, trace_id: str, limit: int = _MOST) -> list[SpanNode]:
    """Return the spans of a trace in the order of a tree; one whose parent is not there stands at the top.

    Args:
        database: the store's tables.
        trace_id: of the trace.
        limit: the first so many spans.
    """
    first, last = trace_range(database, trace_id)
    spans = database.query(_TRACE, [trace_id, first, last, limit], (first, last)).by_name()
    known = {span["span_id"] for span in spans}
    children: dict[Any, list[dict[str, Any]]] = {}
    for span in spans:
        parent = span["parent_span_id"]
        children.setdefault(parent if parent in known and parent != span["span_id"] else None, []).append(
            span
        )
    nodes: list[SpanNode] = []
    waiting = [SpanNode(0, span) for span in reversed(children.pop(None, []))]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        below = children.pop(node.span["span_id"], [])
        waiting.extend(SpanNode(node.depth + 1, span) for span in reversed(below))
    return nodes


def trace_range(database: Database, trace_id: str) -> tuple[int, int]:
    """Return when the first and the last span of a trace began: a query of this range reads little."""
    first, last = database.query(_RANGE, [trace_id]).rows[0]
    return first or 0, last or 0


def find_traces(database: Database, beginning: str) -> list[str]:
    """Return the ids of traces that begin so, at most ten."""
    sql = "SELECT DISTINCT trace_id FROM spans WHERE starts_with(trace_id, ?) ORDER BY ALL LIMIT 10"
    return [row[0] for row in database.query(sql, [beginning]).rows]
