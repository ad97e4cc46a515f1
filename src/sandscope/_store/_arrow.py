"""Columns as Arrow, in which DuckDB reads them without a copy."""

from __future__ import annotations

from array import array
from itertools import accumulate, chain
from typing import Any

import nanoarrow as na
import orjson
from nanoarrow.c_array_stream import CArrayStream

from sandscope._store._columns import Columns

_STRING = na.string()
_PAIR = na.struct({"key": na.string(nullable=False), "value": _STRING})
_TYPES = {
    "VARCHAR": _STRING,
    "JSON": _STRING,
    "BIGINT": na.int64(),
    "DOUBLE": na.float64(),
    "BOOLEAN": na.bool_(),
    "MAP(VARCHAR, VARCHAR)": na.map_(_STRING, _STRING),
    "DOUBLE[]": na.list_(na.float64()),
    "BIGINT[]": na.list_(na.int64()),
}


class Batches:
    """Rows for DuckDB, which reads them once."""

    def __init__(self, types: dict[str, str]) -> None:
        """Begin with none.

        Args:
            types: of the columns, as DuckDB names them.
        """
        self._types = types
        self._schema = na.struct({name: _TYPES[kind] for name, kind in types.items()})
        self._batches: list[Any] = []

    def append(self, columns: Columns) -> None:
        """Add rows."""
        children = [_array(columns[name], kind) for name, kind in self._types.items()]
        length = len(columns[next(iter(self._types))])
        self._batches.append(na.c_array_from_buffers(self._schema, length, [None], children=children))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return them as Arrow's interface wants it."""
        stream = CArrayStream.from_c_arrays(self._batches, na.c_schema(self._schema), validate=False)
        return stream.__arrow_c_stream__(requested_schema)


def _array(values: list[Any], kind: str) -> Any:
    if kind.startswith("MAP"):
        keys, texts = chain.from_iterable(values), chain.from_iterable(map(dict.values, values))
        pairs = [_strings(list(keys)), _strings(list(texts))]
        return _list_array(
            values, kind, na.c_array_from_buffers(_PAIR, len(pairs[0]), [None], children=pairs)
        )
    if kind.endswith("[]"):
        inner = na.c_array(list(chain.from_iterable(values)), _TYPES[kind.removesuffix("[]")])
        return _list_array(values, kind, inner)
    return _strings(values) if _TYPES[kind] is _STRING else na.c_array(values, _TYPES[kind])


def _list_array(values: list[Any], kind: str, inner: Any) -> Any:
    offsets = array("i", [0])
    offsets.extend(accumulate(map(len, values)))
    return na.c_array_from_buffers(_TYPES[kind], len(values), [None, offsets], children=[inner])


def _strings(values: list[Any]) -> Any:
    try:
        return na.c_array(values, _STRING)
    except ValueError:  # something else is in the place of a text
        return na.c_array([_text(value) for value in values], _STRING)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
