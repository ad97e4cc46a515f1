"""The performance report: what ran, by name."""

from __future__ import annotations

from typing import Any

from sandscope._store import FUNCTION_ORDERS, Database, functions
from sandscope._view._filters import Filters

_ROWS = 200


def ask(database: Database, filters: Filters, _parameters: dict[str, str]) -> dict[str, Any]:
    """Return what the page shows."""
    order = filters.order if filters.order in FUNCTION_ORDERS else "failed"
    found = functions(database, filters.selection(), _ROWS, order).by_name()
    return {
        "order": order,
        "most": _ROWS,
        "rows": found,
        "highest": {
            name: max((row[name] or 0 for row in found), default=0)
            for name in ("p99", "memory_peak", "cpu_time")
        },
    }
