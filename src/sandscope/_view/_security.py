"""What sandboxes refused, and what was ended for what it tried."""

from __future__ import annotations

from typing import Any

from sandscope._store import BARS, SECURITY, Database, counts, executions, history, verdicts
from sandscope._view._chart import Slot, bars
from sandscope._view._filters import Filters, iso
from sandscope._view._history import span

_ROWS = 50


def ask(database: Database, filters: Filters, _parameters: dict[str, str]) -> dict[str, Any]:
    """Return what the page shows."""
    selection = filters.selection()
    figures = counts(database, selection)
    chosen = selection._replace(status=SECURITY)
    violations = counts(database, chosen)
    first, last = span(selection, figures)
    slots = []
    for row in history(database, chosen, first, last).by_name():
        begin, end = (int(first + (last - first + 1) / BARS * (row["bar"] + each)) for each in (0, 1))
        address = filters.address("/executions", verdict=SECURITY, since=iso(begin), until=iso(end + 1000))
        title = f"{iso(begin)[11:19]} UTC: {row['failed']:,}"
        slots.append(Slot(row["bar"], {"v-SV": row["failed"]}, title, address))
    return {
        "figures": figures,
        "violations": violations,
        "causes": verdicts(database, chosen).by_name(),
        "rows": executions(database, chosen, _ROWS).by_name(),
        "picture": bars("Security violations over time", slots, first, last, number=BARS),
    }
