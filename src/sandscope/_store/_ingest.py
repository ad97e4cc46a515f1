"""Read what the Collector has added to its files, and write it as parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandscope._say import say
from sandscope._store._merge import merge
from sandscope._store._parts import Part, leftovers, list_parts
from sandscope._store._retention import Retention
from sandscope._store._rows import ROWS, Row
from sandscope._store._source import Source, complete_requests, find_sources, read_lines
from sandscope._store._tables import PART_COLUMNS, ROW_TYPES

if TYPE_CHECKING:
    import duckdb

CHUNK = 32 << 20
"""Bytes of a source that become one part, before it is merged with others."""
_MAX_ROW = 1 << 30
"""Bytes of a row of JSON."""


def ingest(data: Path, store: Path, progress: Callable[[int, int], Any] = lambda done, total: None) -> None:
    """Make parts of what is new; call this with the lock held.

    Args:
        data: the folder of the Collector's files.
        store: the folder of the parts.
        progress: is called with the bytes that were read and those that were to be read at first.

    Raises:
        SandscopeError: if a setting is wrong.
    """
    import duckdb

    retention = Retention()
    parts = list_parts(store)
    for path in leftovers(store, parts):
        path.unlink(missing_ok=True)
    sources = find_sources(data)
    pending = [(source, begin, size) for source, begin, size in _pending(sources, parts) if begin < size]
    total, done = sum(size - begin for _, begin, size in pending), 0
    with duckdb.connect() as database:
        for source, begin, size in pending:
            for part, lines in _new_parts(source, begin, size):
                _write(database, store, part, lines)
                done += part.end - part.start
                progress(done, total)
        merge(database, store, list_parts(store))
    retention.drop(store, {source.identity for source in sources})


def _pending(sources: list[Source], parts: list[Part]) -> Iterator[tuple[Source, int, int]]:
    read = {part.identity: part.end for part in parts}  # in their order: the last one counts
    for source in sources:
        with suppress(OSError):  # it has just been deleted
            size = source.path.stat().st_size
            yield source, read.get(source.identity, 0), size
            read[source.identity] = max(read.get(source.identity, 0), size)  # a copy of it is the same


def _new_parts(source: Source, begin: int, size: int) -> Iterator[tuple[Part, list[bytes]]]:
    while begin < size:
        lines, end = read_lines(source.path, begin, CHUNK)
        if end == begin:
            return
        yield Part(source.signal, source.identity, begin, end), lines
        begin = end


def _write(database: duckdb.DuckDBPyConnection, store: Path, part: Part, lines: list[bytes]) -> None:
    import orjson

    rows = store / "new-rows.json"
    with rows.open("wb") as file:
        for line in lines:
            for row in _rows(part.signal, line):
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    columns = ", ".join(f"\"{name}\": '{kind}'" for name, kind in ROW_TYPES[part.signal].items())
    reader = f"read_json(?, format = 'newline_delimited', maximum_object_size = {_MAX_ROW}, columns = {{{columns}}})"
    new = store / f"new-{part.name}"
    selection = f"SELECT {PART_COLUMNS[part.signal]} FROM {reader}"
    database.execute(
        f"COPY ({selection}) TO '{_quoted(new)}' (FORMAT parquet, COMPRESSION zstd)", [str(rows)]
    )
    rows.unlink()
    new.replace(store / part.name)


def _rows(signal: str, line: bytes) -> list[Row]:
    import orjson

    for text in complete_requests(line):
        with suppress(orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return list(ROWS[signal](orjson.loads(text)))
    if line.strip():
        say(f"sandscope: skipped {len(line)} bytes of {signal}.jsonl that are no complete request")
    return []


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
