"""What requests contain, as columns, and the origin of each row: its service, scope and resource."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from sandscope._store._rows import log_row, point_rows
from sandscope._store._spans import span_columns
from sandscope._store._tables import ROW_COLUMNS
from sandscope._store._values import Item, attributes, items

Columns: TypeAlias = "dict[str, list[Any]]"

ORIGIN = "origin"
"""The column with the number of a row's origin."""


class _Level(NamedTuple):
    resources: str
    scopes: str
    items: str


_LEVELS = {
    "traces": _Level("resourceSpans", "scopeSpans", "spans"),
    "logs": _Level("resourceLogs", "scopeLogs", "logRecords"),
    "metrics": _Level("resourceMetrics", "scopeMetrics", "metrics"),
}


class Table:
    """The rows of many requests.

    Attributes:
        signal: as in `Source`.
        columns: their values by name.
        origins: the origins to which numbers refer, in columns as well.
    """

    def __init__(self, signal: str) -> None:
        """Begin with no row."""
        self.signal = signal
        self.origins: Columns = {"service": [], "scope": [], "resource": []}
        self.columns: Columns = self._empty()

    def add(self, request: Item) -> None:
        """Add what a request contains: all of it, or nothing.

        Raises:
            AttributeError, KeyError, TypeError: if it is not a request.
        """
        new = [
            (origin, _columns(self.signal, found))
            for origin, found in _by_origin(_LEVELS[self.signal], request)
        ]
        for (_, _, resource), columns in new:
            # Only texts can be joined: names are nothing else.
            "".join(chain(resource, *columns["attributes"]))
        for (service, scope, resource), columns in new:
            number = len(self.origins["service"])
            self.origins["service"].append(service)
            self.origins["scope"].append(scope)
            self.origins["resource"].append(resource)
            for name, values in columns.items():
                self.columns[name] += values
            self.columns[ORIGIN] += [number] * len(next(iter(columns.values())))

    def take(self) -> Columns:
        """Return the rows so far, and go on without them; the origins stay."""
        taken, self.columns = self.columns, self._empty()
        return taken

    def _empty(self) -> Columns:
        return {name: [] for name in (*ROW_COLUMNS[self.signal], ORIGIN)}


def _by_origin(level: _Level, request: Item) -> Iterator[tuple[tuple[Any, Any, Any], list[Item]]]:
    for resource in items(request, level.resources):
        of_resource = attributes(resource.get("resource") or {})
        for scope in items(resource, level.scopes):
            name = (scope.get("scope") or {}).get("name")
            yield (of_resource.get("service.name"), name, of_resource), items(scope, level.items)


def _columns(signal: str, found: list[Item]) -> Columns:
    if signal == "traces":
        return span_columns(found)
    rows = (
        [log_row(item) for item in found]
        if signal == "logs"
        else list(chain.from_iterable(map(point_rows, found)))
    )
    return {name: [row[name] for row in rows] for name in ROW_COLUMNS[signal]}
