"""One frame of `sandscope top`: what has run lately, as large as the terminal allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from sandscope._cli._report_sections import NOTHING
from sandscope._cli._report_text import history
from sandscope._cli._text_tables import cell
from sandscope._store import Summary
from sandscope._store import Table as Rows
from sandscope._store._executions import Totals
from sandscope._words import STATUSES, seconds, size, verdict

_FAILED = "red"
_FIXED = 14
"""Lines that are not rows."""
_WIDE = 100
"""Columns of a terminal that shows all columns of the functions."""
_IF_WIDE = {"runtime", "#p50", "#peak memory", "#CPU"}
_FEWEST, _MOST = 3, 20
"""Rows of a table."""


class Lately(NamedTuple):
    """What a frame shows.

    Attributes:
        window: the option that chose it, such as ``5m``.
        length: seconds of the window.
        earlier: whether there are executions before it.
        totals: the figures of the window.
        last: how many executions ended in its last ten seconds.
        running: how many run now.
        summary: the tables.
    """

    window: str
    length: float
    earlier: bool
    totals: Totals
    last: int
    running: int
    summary: Summary


class Frame:
    """What is shown until the next one; it suits the size of the terminal at the time."""

    def __init__(self, lately: Lately | None, *, keys: bool) -> None:
        """Show nothing but what to do if there is nothing."""
        self._lately, self._keys = lately, keys

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return its parts."""
        lately = self._lately
        if lately is None or not lately.totals.executions:
            yield Group(_title(lately, keys=self._keys), Text(), Text(_empty(lately)))
            return
        verdicts = lately.summary.verdicts.rows
        height = options.height or (
            console.height if console.is_terminal else _FIXED + 2 * 10 + len(verdicts)
        )
        rows = min(_MOST, max(_FEWEST, (height - _FIXED - len(verdicts)) // 2))
        yield Group(
            _title(lately, keys=self._keys),
            _figures(lately),
            history(lately.summary),
            _verdicts(lately.summary.verdicts),
            _functions(lately.summary.functions, rows, narrow=options.max_width < _WIDE),
            *([_failures(lately.summary.failures, rows)] if lately.summary.failures.rows else []),
        )


def _title(lately: Lately | None, *, keys: bool) -> Text:
    text = Text("sandscope top", style="bold")
    text.append(f"  {datetime.now(timezone.utc):%H:%M:%S} UTC", style="dim")
    if lately is not None:
        text.append(f"  the last {lately.window}", style="dim")
    if keys:
        text.append("  q quits", style="dim")
    return text


def _empty(lately: Lately | None) -> str:
    if lately is None or not lately.earlier:
        return NOTHING
    return f"Nothing has run in the last {lately.window}. For what ran before: sandscope top --since 1d"


def _figures(lately: Lately) -> Text:
    totals = lately.totals
    failed = totals.executions - totals.succeeded
    text = Text(f"{lately.last / min(10.0, lately.length):,.1f}/s now", style="bold")
    text.append(
        f"  {totals.executions:,} execution{'s' * (totals.executions != 1)}  {lately.running:,} running",
        style="not bold",
    )
    text.append(f"  {100 * totals.succeeded / totals.executions:.1f} % succeeded", style="not bold green")
    if failed:
        text.append(f"  {failed:,} did not", style=f"not bold {_FAILED}")
    quantiles = "  ".join(f"{name} {seconds(getattr(totals, name))}" for name in ("p50", "p95", "p99"))
    text.append(f"  {quantiles}", style="not bold cyan")
    return text


def _verdicts(rows: Rows) -> Table:
    table = _table("runtime", "verdict", "cause", "#executions")
    for runtime, status, _actor, cause, count in rows.rows:
        style = "" if status == "OK" else _FAILED
        words = f"{STATUSES.get(status, status)} ({status})"
        table.add_row(_text(runtime), _text(words, style), _text(cause), _text(f"{count:,}"))
    return table


def _functions(rows: Rows, limit: int, *, narrow: bool) -> Table:
    columns: dict[str, Callable[[dict[str, Any]], Text]] = {
        "runtime": lambda row: _text(row["runtime"]),
        "name": lambda row: _text(row["name"]),
        "#executions": lambda row: _text(f"{row['executions']:,}"),
        "#failed": lambda row: _text(f"{row['failed']:,}", _FAILED if row["failed"] else ""),
        "#p50": lambda row: _text(seconds(row["p50"])),
        "#p95": lambda row: _text(seconds(row["p95"])),
        "#p99": lambda row: _text(seconds(row["p99"])),
        "#peak memory": lambda row: _text(size(row["memory_peak"])),
        "#CPU": lambda row: _text(seconds(row["cpu_time"])),
    }
    chosen = [column for column in columns if not narrow or column not in _IF_WIDE]
    table = _table(*chosen)
    for row in _named(rows)[:limit]:
        table.add_row(*(columns[column](row) for column in chosen))
    return table


def _failures(rows: Rows, limit: int) -> Table:
    table = _table("time", "failed", "verdict", "#after", "trace")
    for row in _named(rows)[:limit]:
        words = verdict(row["status"], row["actor"], row["cause"], row["limit"])
        started = f"{row['start_time']:%H:%M:%S}" if row["start_time"] else ""
        trace = str(row["trace_id"] or "")[:8]
        table.add_row(
            _text(started),
            _text(row["name"]),
            _text(words, _FAILED),
            _text(seconds(row["duration"])),
            _text(trace),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: Any = "right" if column.startswith("#") else "left"
        table.add_column(column.lstrip("#"), justify=justify, no_wrap=True, overflow="ellipsis")
    return table


def _named(rows: Rows) -> Sequence[dict[str, Any]]:
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


def _text(value: Any, style: str = "") -> Text:
    return Text(cell(value), style=style)
