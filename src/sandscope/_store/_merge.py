"""Merge small parts into larger ones, so that a query opens few files however often something was added."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
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


def merge(
    database: duckdb.DuckDBPyConnection, store: Path, parts: list[Part], complete: Collection[str] = ()
) -> None:
    """Merge until no `FACTOR` neighbours are of about the same size; call this with the lock held.

    Args:
        database: which reads and writes them.
        store: the folder of the parts.
        parts: those that are in it.
        complete: the identities of sources to which nothing is added any more: all of their neighbours are merged.
    """
    while (group := next(_groups(parts, complete), None)) is not None:
        merged = group[0]._replace(
            end=group[-1].end,
            first=min(part.first for part in group),
            last=max(part.last for part in group),
        )
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


def _groups(parts: list[Part], complete: Collection[str]) -> Iterator[list[Part]]:
    """Return groups to be merged: neighbours of the same source whose sizes are of the same order, or all of them."""

    def alike(part: Part) -> tuple[str, str, str, int]:
        return part.signal, part.identity, part.suffix, 0 if part.identity in complete else _order(part)

    for (_, identity, suffix, _), same in groupby(parts, alike):
        for run in _runs(same) if suffix == SUFFIX else ():
            most = len(run) if identity in complete and _size(run) <= _MAX_SIZE else FACTOR
            for begin in range(0, len(run) - most + 1, most):
                group = run[begin : begin + most]
                if len(group) > 1 and _size(group) <= _MAX_SIZE:
                    yield group


def _runs(parts: Iterable[Part]) -> Iterator[list[Part]]:
    run: list[Part] = []
    for part in parts:
        if run and run[-1].end != part.start:
            yield run
            run = []
        run.append(part)
    yield run


def _size(run: list[Part]) -> int:
    return run[-1].end - run[0].start


def _order(part: Part) -> int:
    return (part.end - part.start).bit_length() // 3
