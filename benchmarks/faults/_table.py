"""Prints what the faults have cost, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults._account import Row

COLUMNS = "{:<22} {:<14} {:>6} {:>6} {:>5} {:>7} {:>7} {:>6} {:>10}"
HEAD = COLUMNS.format("fault", "store", "sent", "stored", "lost", "counted", "renamed", "twice", "back after")


def line(row: Row) -> str:
    """Return a row of the table."""
    name = f"{row.fault} {row.round}"
    recovered = "" if row.recovered is None else f"{row.recovered:.1f} s"
    note = "  WRONG" if row.unexplained else ""
    cells = (
        name,
        row.store,
        row.sent,
        row.stored,
        row.lost,
        row.counted,
        row.renamed,
        row.duplicated,
        recovered,
    )
    return COLUMNS.format(*cells) + note


def write_json(rows: Iterable[Row], seed: int, path: Path) -> None:
    """Write the rows for programs."""
    path.write_text(
        json.dumps({"seed": seed, "rows": [asdict(row) | {"lost": row.lost} for row in rows]}, indent=1)
    )
