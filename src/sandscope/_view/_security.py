"""What sandboxes refused, what was ended for what it tried, and what programs reported themselves."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from sandscope._store import (
    BARS,
    SECURITY,
    Database,
    Selection,
    counts,
    executions,
    history,
    security_records,
    security_types,
    verdicts,
)
from sandscope._view._chart import Slot, bars
from sandscope._view._filters import Filters, iso
from sandscope._view._history import span

_ROWS = 50
_TYPE = "security.event.type"


def ask(database: Database, filters: Filters, parameters: dict[str, str]) -> dict[str, Any]:
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
        **_reported(database, filters, selection, parameters.get("type") or None),
    }


def _reported(database: Database, filters: Filters, selection: Selection, kind: str | None) -> dict[str, Any]:
    """Return the security events that were reported, and the addresses of those of each type."""
    everything = filters.only_time().address("/security")
    types = security_types(database, selection).by_name()
    for each in types:
        chosen = urlencode({"type": each["type"] or ""})
        each["address"] = f"{everything}{'&' if '?' in everything else '?'}{chosen}"
    records = security_records(database, selection, _ROWS, kind=kind).by_name() if types else []
    for record in records:
        record["attributes"] = [pair for pair in (record["attributes"] or {}).items() if pair[0] != _TYPE]
    return {
        "types": types,
        "type": kind,
        "every_type": everything,
        "records": records,
    }
