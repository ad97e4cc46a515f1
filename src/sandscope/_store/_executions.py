"""Questions about selected executions; each is one query."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from sandscope._store._database import Database, Table
from sandscope._store._selection import Selection

_COLUMNS = """start_time, runtime, operation, name, status, actor, cause, "limit", exit_code, duration, memory_peak,
    cpu_time, message, service, trace_id, span_id"""
_COUNTS = """
    SELECT count(*), count(*) FILTER (status = 'OK'), min(start_ns), max(start_ns) FROM executions WHERE {condition}
"""
_TOTALS = """
    SELECT executions, succeeded, make_timestamp(first_ns // 1000), make_timestamp(last_ns // 1000), first_ns, last_ns,
        quantiles[1], quantiles[2], quantiles[3]
    FROM (
        SELECT count(*) AS executions, count(*) FILTER (status = 'OK') AS succeeded,
            min(start_ns) AS first_ns, max(start_ns) AS last_ns,
            quantile_cont(duration, [0.5, 0.95, 0.99]) AS quantiles
        FROM executions WHERE {condition}
    )
"""
_VERDICTS = """
    SELECT runtime, status, actor, cause, count(*) AS executions FROM executions WHERE {condition}
    GROUP BY runtime, status, actor, cause ORDER BY runtime, executions DESC, cause
"""
_FUNCTIONS = """
    SELECT * EXCLUDE quantiles, quantiles[1] AS p50, quantiles[2] AS p95, quantiles[3] AS p99 FROM (
        SELECT runtime, name, count(*) AS executions, count(*) FILTER (status <> 'OK') AS failed,
            quantile_cont(duration, [0.5, 0.95, 0.99]) AS quantiles, max(duration) AS slowest,
            max(memory_peak) AS memory_peak, sum(cpu_time) AS cpu_time
        FROM executions WHERE {condition} GROUP BY runtime, name
    ) ORDER BY {order}, name LIMIT {limit}
"""
_HISTORY = """
    SELECT * EXCLUDE quantiles, quantiles[1] AS p50, quantiles[2] AS p95, quantiles[3] AS p99 FROM (
        SELECT least((start_ns - {first}) * {bars} // greatest(1, {last} - {first} + 1), {bars} - 1) AS bar,
            count(*) FILTER (status = 'OK') AS succeeded, count(*) FILTER (status <> 'OK') AS failed,
            quantile_cont(duration, [0.5, 0.95, 0.99]) AS quantiles
        FROM executions WHERE {condition} GROUP BY bar
    ) ORDER BY bar
"""
BARS = 60
"""The number of equal spans of time in a history."""
ORDERS: Final = {
    "time": "start_ns DESC",
    "duration": "duration DESC",
    "memory": "memory_peak DESC NULLS LAST",
    "cpu": "cpu_time DESC NULLS LAST",
}
"""The orders in which executions can be listed."""
FUNCTION_ORDERS: Final = {
    "failed": "failed DESC, p99 DESC",
    "slowest": "p99 DESC",
    "executions": "executions DESC",
    "p50": "p50 DESC",
    "p95": "p95 DESC",
    "memory": "memory_peak DESC NULLS LAST",
    "cpu": "cpu_time DESC NULLS LAST",
    "name": "runtime",
}
"""The orders in which functions can be listed."""


class Counts(NamedTuple):
    """How many executions were selected, and when.

    Attributes:
        executions: how many there are.
        succeeded: those that ended with status OK.
        first_ns: when the first began, in nanoseconds since 1970; None if there are none.
        last_ns: when the last began.
    """

    executions: int
    succeeded: int
    first_ns: int | None
    last_ns: int | None


class Totals(NamedTuple):
    """The figures of selected executions. Durations are seconds.

    Attributes:
        executions: how many there are.
        succeeded: those that ended with status OK.
        first: when the first began, UTC; None if there are none.
        last: when the last began.
        first_ns: the same in nanoseconds since 1970.
        last_ns: likewise.
        p50: half of them took no longer.
        p95: 95 of 100 took no longer.
        p99: 99 of 100 took no longer.
    """

    executions: int
    succeeded: int
    first: datetime | None
    last: datetime | None
    first_ns: int | None
    last_ns: int | None
    p50: float | None
    p95: float | None
    p99: float | None


def counts(database: Database, selection: Selection) -> Counts:
    """Return how many there are: a fifth of the time of `totals`."""
    return Counts(*_ask(database, _COUNTS, selection).rows[0])


def totals(database: Database, selection: Selection) -> Totals:
    """Return the figures."""
    return Totals(*_ask(database, _TOTALS, selection).rows[0])


def verdicts(database: Database, selection: Selection) -> Table:
    """Return how many executions there are of each runtime and verdict."""
    return _ask(database, _VERDICTS, selection)


def functions(database: Database, selection: Selection, limit: int, order: str = "failed") -> Table:
    """Return what ran, by name, in one of `FUNCTION_ORDERS`: by default what failed most often, then the slowest."""
    return _ask(database, _FUNCTIONS, selection, limit=limit, order=FUNCTION_ORDERS[order])


def history(database: Database, selection: Selection, first: int, last: int, bars: int = BARS) -> Table:
    """Return how many succeeded and failed in equal spans of time, and how long they took; empty ones are left out.

    Args:
        database: the store's tables.
        selection: which executions.
        first: where the first span begins, in nanoseconds since 1970.
        last: where the last one ends.
        bars: the number of spans.
    """
    return _ask(database, _HISTORY, selection, first=first, last=last, bars=bars)


def executions(
    database: Database, selection: Selection, limit: int, *, order: str = "time", offset: int = 0
) -> Table:
    """Return executions in one of `ORDERS`."""
    condition, parameters = selection.condition()
    sql = f"SELECT {_COLUMNS} FROM executions WHERE {condition} ORDER BY {ORDERS[order]} LIMIT {limit} OFFSET {offset}"
    return database.query(sql, parameters, selection.times)


def _ask(database: Database, sql: str, selection: Selection, **words: Any) -> Table:
    condition, parameters = selection.condition()
    return database.query(sql.format(condition=condition, **words), parameters, selection.times)
