"""Tables in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_MAX_CELL = 60
"""Characters of a value in a table."""
_UNFOLDED = 10_000
"""Columns of a table that no terminal shows: programs read it by line."""


def console() -> Console:
    """Return the standard output."""
    return Console() if sys.stdout.isatty() else Console(width=_UNFOLDED)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], numeric: Collection[str] = ()) -> None:
    """Print a table in which control characters are shown as such.

    Args:
        columns: their names.
        rows: the cells.
        numeric: the columns that are aligned to the right; those that contain nothing but numbers are so anyway.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        right = column in numeric or (
            rows and all(isinstance(row[index], int | float | None) for row in rows)
        )
        table.add_column(Text(printable(column)), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else Text(cell(value)) for value in row))
    print_without_padding(table)


def print_without_padding(content: RenderableType) -> None:
    """Print something without the spaces that fill its lines."""
    output = console()
    with output.capture() as capture:
        output.print(content)
    sys.stdout.write("\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n")


def cell(value: Any) -> str:
    """Return a value in one line, cut if it is long."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    text = f"{value:.6g}" if isinstance(value, float) else printable(str(value))
    return text if len(text) <= _MAX_CELL else f"{text[: _MAX_CELL - 1]}…"


def printable(text: str) -> str:
    """Return a text without what a terminal would obey."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
