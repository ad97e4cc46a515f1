"""Selects the hot path: compiled if available, otherwise the equivalent in Python."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandscope import _settings
from sandscope._deferred._hot_path import FREE_THREADED

__all__ = [
    "Attribute",
    "HotPath",
    "ModelCall",
    "Record",
    "Slots",
    "encode_logs",
    "encode_spans",
    "give_ids",
    "new_count",
    "python_reason",
]

python_reason = ""
"""The reason why the compiled hot path is not used; empty if it is used."""


def encode_one_by_one(
    records: list[Any], _find: Callable[[Any], Any], encode: Callable[[Any], tuple[bytes, ...]]
) -> bytes:
    """Encode records; the Python equivalent of the compiled `encode_spans` and `encode_logs`.

    Args:
        records: ended executions.
        _find: returns the pieces of a record's template, or None. Only the compiled functions use it.
        encode: encodes one record.
    """
    return b"".join([part for record in records for part in encode(record)])


def count_in_python() -> Callable[[], int]:
    """Return a counter that starts at 0. Each call is a single call of a C function, so it is thread-safe."""
    return itertools.count().__next__


if TYPE_CHECKING:
    from sandscope._deferred._hot_path import HotPath, Record
    from sandscope._deferred._slots import Slots

    encode_logs = encode_spans = encode_one_by_one
    new_count = count_in_python
    give_ids: Callable[[list[Any], bytes, int], list[Any]] | None = None
    Attribute: Callable[..., Any] | None = None
    ModelCall: Callable[..., Any] | None = None
else:
    try:
        if os.environ.get(_settings.RECORDER, "").strip().lower() == "python":
            raise ImportError(f"{_settings.RECORDER} is python")
        if FREE_THREADED:
            raise ImportError("this Python has no global interpreter lock")
        from sandscope._deferred._native import (
            Attribute,
            HotPath,
            ModelCall,
            Record,
            Slots,
            encode_logs,
            encode_spans,
            give_ids,
            new_count,
        )
    except ImportError as error:
        from sandscope._deferred._hot_path import HotPath, Record
        from sandscope._deferred._slots import Slots

        encode_logs = encode_spans = encode_one_by_one
        new_count = count_in_python
        give_ids = Attribute = ModelCall = None
        python_reason = str(error)
