"""What happened in a range of time: counts, verdicts, durations, failures; and one trace."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sandscope._store._database import Database, Table

_VERDICTS = """
    SELECT runtime, status, actor, cause, count(*) AS executions FROM chosen
    GROUP BY runtime, status, actor, cause ORDER BY runtime, executions DESC, cause
"""
_FUNCTIONS = """
    SELECT runtime, name, count(*) AS executions, count(*) FILTER (status <> 'OK') AS failed,
        quantile_cont(duration, 0.5) AS p50, quantile_cont(duration, 0.95) AS p95,
        quantile_cont(duration, 0.99) AS p99, max(duration) AS slowest, max(memory_peak) AS memory_peak,
        sum(cpu_time) AS cpu_time
    FROM chosen GROUP BY runtime, name ORDER BY failed DESC, p99 DESC, name LIMIT {limit}
"""
_FAILURES = """
    SELECT start_time, runtime, name, status, actor, cause, "limit", exit_code, duration, message, trace_id
    FROM chosen WHERE status <> 'OK' ORDER BY start_ns DESC LIMIT {limit}
"""
_SLOWEST = """
    SELECT start_time, runtime, name, duration, status, actor, cause, trace_id
    FROM chosen ORDER BY duration DESC, start_ns LIMIT {limit}
"""
_SECURITY = """
    SELECT start_time, runtime, name, status, cause, trace_id
    FROM chosen WHERE status IN ('SV', 'ABUSE') ORDER BY start_ns DESC LIMIT {limit}
"""
_HISTORY = """
    SELECT (start_ns - {first}) * {bars} // greatest(1, {last} - {first} + 1) AS bar,
        count(*) FILTER (status = 'OK') AS succeeded, count(*) FILTER (status <> 'OK') AS failed
    FROM chosen GROUP BY bar ORDER BY bar
"""
_TRACE = """
    SELECT span_id, parent_span_id, name, service, start_ns, duration, status, actor, cause, "limit", status_code,
        status_message
    FROM spans WHERE trace_id = ? ORDER BY start_ns, duration DESC
"""
BARS = 60
"""The number of equal spans of time in the history of a summary."""


class Summary(NamedTuple):
    """What happened in a range of time. Durations are seconds, memory is bytes.

    Attributes:
        executions: how many there were.
        succeeded: those that ended with status OK.
        first: when the first began, UTC; None if there were none.
        last: when the last began.
        verdicts: how many for each runtime and verdict.
        functions: by name, those that failed most often first, then the slowest.
        failures: the last ones.
        slowest: the slowest ones.
        security: the last ones that were ended for what they tried.
        history: how many succeeded and failed in each of `BARS` equal spans of time; empty ones are left out.
    """

    executions: int
    succeeded: int
    first: datetime | None
    last: datetime | None
    verdicts: Table
    functions: Table
    failures: Table
    slowest: Table
    security: Table
    history: Table


def summarize(database: Database, since: int = 0, limit: int = 10) -> Summary:
    """Return what happened.

    Args:
        database: the store's tables.
        since: nanoseconds since 1970: earlier executions are left out.
        limit: the number of rows of each table, except those of verdicts.
    """
    # Not a view: each of the queries would read the files again.
    database.query(
        "CREATE OR REPLACE TEMP TABLE chosen AS SELECT * EXCLUDE attributes FROM executions WHERE start_ns >= ?",
        [since],
    )
    executions, succeeded, first, last, first_ns, last_ns = database.query(
        "SELECT count(*), count(*) FILTER (status = 'OK'), min(start_time), max(start_time), min(start_ns), "
        "max(start_ns) FROM chosen"
    ).rows[0]
    history = _HISTORY.format(first=first_ns or 0, last=last_ns or 0, bars=BARS)
    functions, failures, slowest, security = (
        database.query(sql.format(limit=limit)) for sql in (_FUNCTIONS, _FAILURES, _SLOWEST, _SECURITY)
    )
    return Summary(
        executions,
        succeeded,
        first,
        last,
        database.query(_VERDICTS),
        functions,
        failures,
        slowest,
        security,
        database.query(history),
    )


class SpanNode(NamedTuple):
    """A span of a trace.

    Attributes:
        depth: how many spans of this trace it is inside of.
        span: by column.
    """

    depth: int
    span: dict[str, Any]


def trace_tree(database: Database, trace_id: str) -> list[SpanNode]:
    """Return the spans of a trace in the order of a tree; one whose parent is not there stands at the top."""
    table = database.query(_TRACE, [trace_id])
    spans = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
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


def find_traces(database: Database, beginning: str) -> list[str]:
    """Return the ids of traces that begin so, at most ten."""
    sql = "SELECT DISTINCT trace_id FROM spans WHERE starts_with(trace_id, ?) ORDER BY ALL LIMIT 10"
    return [row[0] for row in database.query(sql, [beginning]).rows]
