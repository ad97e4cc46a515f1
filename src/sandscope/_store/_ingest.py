"""Read what the Collector has added to its files, and write it as parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandscope._store._merge import merge
from sandscope._store._parts import Part, leftovers, list_parts
from sandscope._store._retention import Retention
from sandscope._store._source import Source, find_sources, opened, read_lines
from sandscope._store._tables import PARQUET, PART_COLUMNS, ROW_TYPES, TIME_COLUMNS

if TYPE_CHECKING:
    import duckdb

    from sandscope._store._parse import Rows

CHUNK = 128 << 20
"""Bytes of a source that become one part at most, before it is merged with others: more than a file has that the
Collector has rotated."""
_TIMES = (
    "SELECT coalesce(epoch_us(min({column})), 0), coalesce(epoch_us(max({column})), 0) FROM read_parquet(?)"
)


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
    with duckdb.connect() as database, ThreadPoolExecutor(1) as writer:
        database.execute("SET enable_progress_bar = false")
        complete = {part.identity for part in parts} - {source.identity for source in sources if source.grows}
        written = writer.submit(merge, database, store, parts, complete)
        for source, begin, size in pending:
            for part, rows in _new_parts(source, begin, size):
                written.result()  # one at a time, in their order
                written = writer.submit(_write, database, store, part, rows)
                done += part.end - part.start
                progress(done, total)
        written.result()
    retention.drop(store, {source.identity for source in sources})


def _pending(sources: list[Source], parts: list[Part]) -> Iterator[tuple[Source, int, int]]:
    read = {part.identity: part.end for part in parts}  # in their order: the last one counts
    for source in sources:
        with suppress(OSError):  # it has just been deleted
            size = source.path.stat().st_size
            yield source, read.get(source.identity, 0), size
            read[source.identity] = max(read.get(source.identity, 0), size)  # a copy of it is the same


def _new_parts(source: Source, begin: int, size: int) -> Iterator[tuple[Part, Rows]]:
    from sandscope._store._parse import parse  # what it needs may not be installed

    limit = CHUNK
    if source.grows:  # it will be merged later; so one is written while the next is parsed
        limit = min(CHUNK // 4, max(CHUNK // 64, (size - begin) // 4))
    with opened(source) as file:
        while file is not None and begin < size:
            rows = parse(source.signal, read_lines(file, begin, limit))
            if not rows.size:
                return
            part = Part(source.signal, source.identity, begin, begin + rows.size)
            yield part, rows
            begin = part.end


def _write(database: duckdb.DuckDBPyConnection, store: Path, part: Part, rows: Rows) -> None:
    new = store / f"new-{part.name}"
    columns = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in ROW_TYPES[part.signal].items())
    database.register("read_rows", rows.rows)
    database.register("read_origins", rows.origins)
    selection = f"SELECT {columns} FROM read_rows JOIN read_origins USING (origin)"
    database.execute(
        f"COPY (SELECT {PART_COLUMNS[part.signal]} FROM ({selection})) TO '{_quoted(new)}' {PARQUET}"
    )
    database.unregister("read_rows")
    database.unregister("read_origins")
    (times,) = database.execute(_TIMES.format(column=TIME_COLUMNS[part.signal]), [str(new)]).fetchall()
    first, last = times
    new.replace(store / part._replace(first=first, last=last).name)
    merge(database, store, list_parts(store))


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
