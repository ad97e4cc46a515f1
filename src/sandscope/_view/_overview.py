"""The first page: how much runs, how it ends, how long it takes, and what fails."""

from __future__ import annotations

import time
from typing import Any

from sandscope._store import (
    FAILED,
    SECURITY,
    Database,
    Selection,
    Table,
    counts,
    executions,
    functions,
    totals,
    verdicts,
)
from sandscope._view._compare import lately_changed
from sandscope._view._filters import Filters
from sandscope._view._history import pictures
from sandscope._words import STATUSES

_ROWS = 6
_LATELY = 60
"""Seconds over which the present rate is measured."""


def ask(database: Database, filters: Filters, _parameters: dict[str, str]) -> dict[str, Any]:
    """Return what the page shows."""
    selection = filters.selection()
    figures = totals(database, selection)
    if not figures.executions:
        return {"figures": figures}
    lately = selection._replace(since=time.time_ns() - _LATELY * 10**9, until=None)
    return {
        "figures": figures,
        "rate": counts(database, lately).executions / _LATELY,
        "mean_rate": _mean_rate(figures.executions, figures.first_ns, figures.last_ns),
        "runtimes": by_runtime(verdicts(database, selection)),
        "functions": functions(database, selection, _ROWS).by_name(),
        "failures": executions(database, _failed(selection), _ROWS).by_name(),
        "security": executions(database, selection._replace(status=SECURITY), _ROWS).by_name(),
        "changes": lately_changed(database, selection, figures),
        **pictures(database, filters, selection, figures),
    }


def by_runtime(table: Table) -> list[dict[str, Any]]:
    """Return how the executions of each runtime ended: counts by status, with their shares and where they begin."""
    counted: dict[str, dict[str, int]] = {}
    for row in table.by_name():
        statuses = counted.setdefault(row["runtime"] or "", {})
        statuses[row["status"]] = statuses.get(row["status"], 0) + row["executions"]
    runtimes = []
    for runtime, statuses in sorted(counted.items(), key=lambda item: -sum(item[1].values())):
        total, left, parts = sum(statuses.values()), 0.0, []
        for status in sorted(statuses, key=_place):
            width = 100 * statuses[status] / total
            parts.append({"status": status, "executions": statuses[status], "left": left, "width": width})
            left += width
        runtimes.append({"runtime": runtime, "executions": total, "parts": parts})
    return runtimes


def _place(status: str) -> int:
    return list(STATUSES).index(status) if status in STATUSES else len(STATUSES)


def _failed(selection: Selection) -> Selection:
    return selection if selection.status else selection._replace(status=FAILED)


def _mean_rate(number: int, first: int | None, last: int | None) -> float | None:
    elapsed = ((last or 0) - (first or 0)) / 1e9
    return number / elapsed if elapsed >= 1 else None
