"""Claim: what a page of `sandscope view` asks the store is answered before its reader notices that it was asked.

`page_X_ms`: all questions of a page, with 10^6 executions, 10^5 log records and 10^5 points of metrics; `slow` are
executions in the order of duration. `page_slowest_question_ms`: the slowest single one. `page_minute_late_over_early`:
the overview of less than a minute, when the store holds all executions over when it held a tenth; `page_minute_ms` is
the former.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._rounds import Case, measure

START = 1_790_000_000_000_000_000
"""Nanoseconds since 1970."""
_FILES = 10
_LINE = 750
"""Bytes of a row in the Collector's file: the names of parts contain them."""
_SPANS = """
    SELECT {start} + i * 1000000 AS start_ns,
        exp(12 + 1.5 * sqrt(-2 * ln(random() + 1e-9)) * cos(6.283 * random()))::BIGINT AS duration_ns,
        'wasm f' || i % 37 AS name, 'internal' AS kind, 'wasmtime' AS runtime, 'call' AS operation,
        CASE WHEN i % 5000 = 1 THEN 'SV' WHEN i % 33 = 7 THEN 'RE' ELSE 'OK' END AS status, 'guest' AS actor,
        CASE WHEN i % 33 = 7 THEN 're_unreachable' ELSE 'normal_exit' END AS cause,
        65536.0 * (1 + i % 9) AS memory_peak, printf('%016x%016x', hash(i // 4), hash(-(i // 4))) AS trace_id,
        printf('%016x', hash(i)) AS span_id,
        CASE WHEN i % 4 > 0 THEN printf('%016x', hash(i - 1)) END AS parent_span_id,
        'unset' AS status_code,
        MAP {{'sandbox.runtime': 'wasmtime', 'sandbox.operation': 'call', 'sandbox.verdict.actor': 'guest',
            'wasm.function': 'f' || i % 37, 'wasm.module.name': 'plugin.wasm', 'number': i::VARCHAR}} AS attributes,
"""
_LOGS = """
    SELECT {start} + i * 10000000 AS time_ns, 'ERROR' AS severity, 17 AS severity_number, 'sandbox.execution' AS event,
        'a failure' AS body, printf('%016x%016x', hash(i), hash(-i)) AS trace_id, printf('%016x', hash(i)) AS span_id,
        MAP {{'exception.type': 'Trap', 'number': i::VARCHAR}} AS attributes,
"""
_METRICS = """
    SELECT {start} + i // 10 * 100000000 AS time_ns, {start} AS start_ns, 'metric.' || i % 10 AS name, 's' AS unit,
        'histogram' AS type, 'cumulative' AS temporality, i AS count, i / 1e3 AS sum,
        [0.001, 0.01, 0.1] AS bounds, [i, i // 2, i // 4, i // 8] AS buckets,
        CASE WHEN i % 50 < 10 THEN '[{{"time_ns":{start},"value":0.01,"trace_id":"ab","span_id":"cd"}}]' END
            AS exemplars,
        MAP {{'sandbox.runtime': 'wasmtime'}} AS attributes,
"""
_ORIGIN = (
    "'app' AS service, 'scope' AS scope, MAP {'service.instance.id': 'one'} AS resource FROM range(?, ?) t(i)"
)


def run(*, short: bool) -> dict[str, float]:
    """Write a store, and ask what the pages ask."""
    executions = 40_000 if short else 1_000_000
    tenth = executions // _FILES
    seconds = tenth // 2_500
    with tempfile.TemporaryDirectory() as early, tempfile.TemporaryDirectory() as late:
        _write(Path(early), 0, tenth)
        for begin in range(0, executions, tenth):
            _write(Path(late), begin, begin + tenth)
        minute = _minute({Path(early): tenth, Path(late): executions}, seconds)
        pages = _measured(Path(late), executions)
    return {
        **{f"page_{name}_ms": sum(taken) * 1e3 for name, taken in pages.items()},
        "page_slowest_question_ms": max(max(taken) for taken in pages.values()) * 1e3,
        "page_minute_late_over_early": minute[Path(late)] / minute[Path(early)],
        "page_minute_ms": minute[Path(late)] / 1e6,
    }


def _write(store: Path, begin: int, end: int) -> None:
    import duckdb

    from sandscope._store._tables import PARQUET, PART_COLUMNS, ROW_TYPES

    with duckdb.connect() as database:
        database.execute("SELECT setseed(0.7)")
        for signal, rows, few in (("traces", _SPANS, 1), ("logs", _LOGS, 10), ("metrics", _METRICS, 10)):
            database.execute(f"CREATE OR REPLACE VIEW empty AS SELECT {_nulls(ROW_TYPES[signal])}")
            contents = f"FROM empty UNION ALL BY NAME ({rows.format(start=START)} {_ORIGIN})"
            first, last = (START // 1000 + number * 1000 for number in (begin, end))
            name = f"{signal}-{signal:0>16}-{begin * _LINE}-{end * _LINE}-{first}-{last}.parquet"
            selection = f"SELECT {PART_COLUMNS[signal]} FROM ({contents})"  # noqa: S608 -- of this file only
            database.execute(f"COPY ({selection}) TO '{store / name}' {PARQUET}", [begin // few, end // few])


def _nulls(types: dict[str, str]) -> str:
    return ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in types.items()) + " WHERE false"


def _minute(stores: dict[Path, int], seconds: int) -> dict[Path, float]:
    """Return the nanoseconds of the overview of a range of time, which is as long in each of the stores."""
    from sandscope._store import Database
    from sandscope._view import _overview
    from sandscope._view._filters import Filters, iso

    with ExitStack() as stack:
        cases = {}
        for store, executions in stores.items():
            middle = START + executions // 2 * 1_000_000
            minute = Filters(since=iso(middle), until=iso(middle + seconds * 10**9))
            database = stack.enter_context(Database(store))
            cases[store] = Case(partial(_overview.ask, database, minute, {}), most=1)
        return measure(cases, rounds=15)


def _measured(store: Path, executions: int) -> dict[str, list[float]]:
    """Return the seconds of each question of each page."""
    from sandscope._store import Database

    class Watched(Database):
        taken: list[float]

        def query(self, *arguments: Any) -> Any:
            begin = time.perf_counter()
            try:
                return super().query(*arguments)
            finally:
                self.taken.append(time.perf_counter() - begin)

    def once(ask: Callable[[Database], Any]) -> list[float]:
        database.taken = []
        ask(database)
        return database.taken

    with Watched(store) as database:
        return {name: min((once(ask) for _ in range(7)), key=sum) for name, ask in _pages(executions).items()}


def _pages(executions: int) -> dict[str, Callable[[Any], Any]]:
    from sandscope._view import _compare, _execution, _executions, _functions, _metrics, _overview, _security
    from sandscope._view._filters import Filters

    everything = Filters()
    middle = START + executions // 2 * 1_000_000

    def execution(database: Any) -> Any:
        sql = "SELECT trace_id, span_id FROM spans WHERE start_ns >= ? ORDER BY start_ns LIMIT 1"
        trace, span = database.query(sql, [middle]).rows[0]
        database.taken = []  # finding it was no question of the page
        return _execution.ask(database, everything, {"trace": trace, "span": span})

    return {
        "overview": lambda database: _overview.ask(database, everything, {}),
        "executions": lambda database: _executions.ask(database, everything, {}),
        "slow": lambda database: _executions.ask(database, everything._replace(order="duration"), {}),
        "named": lambda database: _executions.ask(database, everything._replace(name="F3"), {}),
        "execution": execution,
        "functions": lambda database: _functions.ask(database, everything, {}),
        "metrics": lambda database: _metrics.ask(database, everything, {}),
        "metric": lambda database: _metrics.ask_one(database, everything, {"name": "metric.1"}),
        "security": lambda database: _security.ask(database, everything, {}),
        "compare": lambda database: _compare.ask(database, everything, {}),
    }
