"""The tables of the store, for queries that can do nothing but read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from sandscope._errors import SandscopeError
from sandscope._store._parts import SUFFIX, Part, list_parts
from sandscope._store._tables import EXECUTIONS, PART_COLUMNS, ROW_TYPES, TABLES

Times: TypeAlias = "tuple[int | None, int | None]"
"""From when to when, in nanoseconds since 1970; None is without an end."""

ALWAYS: Final[Times] = (None, None)


class Table(NamedTuple):
    """The result of a query.

    Attributes:
        columns: their names.
        rows: their values.
    """

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def by_name(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Database:
    """The tables ``executions``, ``spans``, ``logs`` and ``metrics``. Use it with the lock held."""

    def __init__(self, store: Path) -> None:
        """Open the parts that are there now.

        Raises:
            SandscopeError: if they cannot be read, for example because another version has written them.
        """
        import duckdb

        self._store, self._parts = store, _newest_first(store)
        self._times: Times | None = None
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_progress_bar = false")
        try:
            self._open()
        except duckdb.Error as error:
            raise SandscopeError(
                f"Cannot read {str(store)!r}: {str(error).splitlines()[0]}. If another version has written it, "
                "delete this folder: it is made again from the Collector's files."
            ) from error
        folder = str(store).replace("'", "''")
        self._connection.execute(f"SET allowed_directories = ['{folder}']")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def _open(self) -> None:
        self._choose(ALWAYS)
        signals = {part.signal for part in self._parts}
        for table, signal in TABLES.items():
            contents = (
                f"SELECT * FROM read_parquet(getvariable('{signal}'))"
                if signal in signals
                else _empty(signal)
            )
            self._connection.execute(f"CREATE VIEW {table} AS {contents}")
        self._connection.execute(f"CREATE VIEW executions AS {EXECUTIONS}")

    def _choose(self, times: Times) -> None:
        """Let the tables read the parts of a range of time, so that others are not even opened."""
        if times == self._times:
            return
        for signal in TABLES.values():
            parts = [part for part in self._parts if part.signal == signal]
            chosen = [part for part in parts if _overlaps(part, times)]
            chosen = chosen or parts[:1]  # DuckDB wants at least one
            files = [str(self._store / part.name) for part in chosen]
            self._connection.execute(f"SET VARIABLE {signal} = ?", [files])
        self._times = times

    def query(self, sql: str, parameters: list[Any] | None = None, times: Times = ALWAYS) -> Table:
        """Run one query.

        Args:
            sql: its text.
            parameters: the values of its question marks.
            times: of the rows that it asks for. It still has to ask for them: others may be in the same parts.

        Raises:
            SandscopeError: if it is wrong.
        """
        import duckdb

        try:
            self._choose(times)
            result = self._connection.execute(sql, parameters)
            columns, rows = result.description or [], result.fetchall()
        except duckdb.Error as error:
            raise SandscopeError(f"Cannot run the query: {error}") from error
        parsed = [index for index, column in enumerate(columns) if str(column[1]) == "JSON"]
        if parsed:
            rows = [_with_objects(row, parsed) for row in rows]
        return Table([column[0] for column in columns], rows)

    def close(self) -> None:
        """Release its memory."""
        self._connection.close()

    def __enter__(self) -> Database:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _with_objects(row: tuple[Any, ...], indexes: list[int]) -> tuple[Any, ...]:
    return tuple(
        json.loads(value) if index in indexes and value is not None else value
        for index, value in enumerate(row)
    )


def _overlaps(part: Part, times: Times) -> bool:
    since, until = times
    return (since is None or part.last >= since // 1000) and (until is None or part.first <= until // 1000)


def _newest_first(store: Path) -> list[Part]:
    """Return the parts so that who asks for the last rows finds them in the first file, and opens no other."""
    parts = [part for part in list_parts(store) if part.suffix == SUFFIX]
    parts.sort(key=lambda part: (store / part.name).stat().st_mtime, reverse=True)
    return parts


def _empty(signal: str) -> str:
    columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in ROW_TYPES[signal].items())
    return f"SELECT {PART_COLUMNS[signal]} FROM (SELECT {columns}) WHERE false"
