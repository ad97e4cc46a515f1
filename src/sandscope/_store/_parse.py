"""Parse the lines of a file of the Collector, and skip what is not a request."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import orjson

from sandscope._say import say
from sandscope._store._arrow import Batches
from sandscope._store._columns import ORIGIN, Table
from sandscope._store._source import complete_requests
from sandscope._store._tables import ORIGIN_TYPES, ROW_COLUMNS

_BATCH = 1 << 20
"""Bytes that are parsed into objects at a time: with more, they leave the processor's cache before they are used."""


class Rows(NamedTuple):
    """What lines contain.

    Attributes:
        rows: with the number of their origins.
        origins: service, scope and resource by number.
        size: how many bytes the lines were.
    """

    rows: Batches
    origins: Batches
    size: int


def parse(signal: str, lines: Iterable[bytes]) -> Rows:
    """Return what lines of a signal contain."""
    table = Table(signal)
    rows = Batches({**ROW_COLUMNS[signal], ORIGIN: "BIGINT"})
    size, taken = 0, 0
    with _no_collection():
        for line in lines:
            _add(table, line)
            size += len(line)
            if size >= taken + _BATCH:
                rows.append(table.take())
                taken = size
        rows.append(table.take())
    origins = Batches({ORIGIN: "BIGINT", **ORIGIN_TYPES})
    origins.append({ORIGIN: list(range(len(table.origins["service"]))), **table.origins})
    return Rows(rows, origins, size)


def _add(table: Table, line: bytes) -> None:
    for text in complete_requests(line):
        with suppress(orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            table.add(orjson.loads(text))
            return
    line = line.removesuffix(b"\n")
    if line.strip():
        say(f"sandscope: skipped {len(line)} bytes of {table.signal}.jsonl that are not a complete request")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from looking through all that is parsed: it contains no circles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
