"""Merge small parts into larger ones, so that a query opens few files however often something was added."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from sandscope._store._parts import SUFFIX, Part, list_parts
from sandscope._store._tables import PARQUET

if TYPE_CHECKING:
    import duckdb

FACTOR = 8
"""So many parts of about the same size are merged into one."""
_MAX_SIZE = 1 << 30
"""Bytes of a source: no larger parts are made."""


def merge(database: duckdb.DuckDBPyConnection, store: Path, parts: list[Part]) -> None:
    """Merge until no `FACTOR` neighbours are of about the same size; call this with the lock held."""
    while (group := next(_groups(parts), None)) is not None:
        first = group[0]
        merged = Part(first.signal, first.identity, first.start, group[-1].end)
        new = store / f"new-{merged.name}"
        files = [str(store / part.name) for part in group]
        target = str(new).replace("'", "''")
        database.execute(f"COPY (SELECT * FROM read_parquet(?)) TO '{target}' {PARQUET}", [files])
        newest = max((store / part.name).stat().st_mtime for part in group)
        os.utime(new, (newest, newest))  # its age decides when it is dropped
        new.replace(store / merged.name)
        for part in group:
            (store / part.name).unlink()
        parts = list_parts(store)


def _groups(parts: list[Part]) -> Iterator[list[Part]]:
    """Return groups to be merged: neighbours of the same source whose sizes are of the same order."""
    for _, same in groupby(parts, lambda part: (part.signal, part.identity, part.suffix, _order(part))):
        run: list[Part] = []
        for part in same:
            if run and run[-1].end != part.start:
                run = []
            run.append(part)
            if len(run) == FACTOR and part.suffix == SUFFIX and run[-1].end - run[0].start <= _MAX_SIZE:
                yield run
                run = []


def _order(part: Part) -> int:
    return (part.end - part.start).bit_length() // 3
