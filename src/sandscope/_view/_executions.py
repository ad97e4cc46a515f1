"""The list of executions."""

from __future__ import annotations

from typing import Any

from sandscope._store import ORDERS, Database, counts, executions
from sandscope._view._filters import LAST_PAGE, Filters

_ROWS = 50
_RUNTIMES = "SELECT DISTINCT runtime FROM executions WHERE runtime IS NOT NULL AND {condition} LIMIT 50"


def ask(database: Database, filters: Filters, _parameters: dict[str, str]) -> dict[str, Any]:
    """Return what the page shows."""
    selection = filters.selection()
    order = filters.order if filters.order in ORDERS else "time"
    found = executions(database, selection, _ROWS, order=order, offset=(filters.page - 1) * _ROWS).by_name()
    figures = counts(database, selection)
    longest = max((row["duration"] or 0 for row in found), default=0)
    return {
        "figures": figures,
        "order": order,
        "rows": [{**row, "share": _share(row["duration"], longest)} for row in found],
        "begin": (filters.page - 1) * _ROWS + 1,
        "last_page": min(LAST_PAGE, -(-figures.executions // _ROWS)),
        "runtimes": _runtimes(database, filters),
    }


def _runtimes(database: Database, filters: Filters) -> list[str]:
    """Return those that can be chosen, and the one that is chosen."""
    selection = filters.only_time().selection()
    condition, parameters = selection.condition()
    table = database.query(_RUNTIMES.format(condition=condition), parameters, selection.times)
    found = {row[0] for row in table.rows}
    return sorted(found | {filters.runtime} - {""})


def _share(duration: float | None, longest: float) -> float:
    return 100 * (duration or 0) / longest if longest else 0
