"""The pictures over time of selected executions: how many, and how long they took."""

from __future__ import annotations

from typing import Any

from sandscope._store import BARS, Counts, Database, Selection, Totals, history
from sandscope._view._chart import Chart, Slot, bars, curves
from sandscope._view._filters import Filters, iso
from sandscope._words import seconds

_QUANTILES = ("p99", "p95", "p50")  # the last is drawn above the others


def pictures(database: Database, filters: Filters, selection: Selection, figures: Totals) -> dict[str, Chart]:
    """Return the two pictures; the bars of the first lead to their executions."""
    first, last = span(selection, figures)
    table = history(database, selection, first, last).by_name()
    return {
        "executions_chart": _executions(table, filters, first, last),
        "durations_chart": _durations(table, first, last),
    }


def span(selection: Selection, figures: Counts | Totals) -> tuple[int, int]:
    """Return from when to when pictures go: as the filters say, else as long as there were executions."""
    first = selection.since if selection.since is not None else figures.first_ns or 0
    last = selection.until if selection.until is not None else figures.last_ns or 0
    return first, max(last, first + 1)


def _executions(table: list[dict[str, Any]], filters: Filters, first: int, last: int) -> Chart:
    width = (last - first + 1) / BARS
    slots = []
    for row in table:
        begin, end = (int(first + width * (row["bar"] + each)) for each in (0, 1))
        title = f"{iso(begin)[11:19]} UTC: {row['succeeded']:,} succeeded, {row['failed']:,} failed"
        counted = {"ok": row["succeeded"], "failed": row["failed"]}
        address = filters.address("/executions", since=iso(begin), until=iso(end + 1000))
        slots.append(Slot(row["bar"], counted, title, address))
    return bars("Executions over time, succeeded and failed", slots, first, last, number=BARS)


def _durations(table: list[dict[str, Any]], first: int, last: int) -> Chart:
    width = (last - first + 1) / BARS
    series = {
        name: [(int(first + width * (row["bar"] + 0.5)), row[name]) for row in table if row[name] is not None]
        for name in _QUANTILES
    }
    return curves("Durations over time: p50, p95 and p99", series, seconds, first, last)
