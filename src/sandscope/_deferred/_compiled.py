"""Which hot path there is: compiled where that can be had, else the same in Python."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandscope import _settings
from sandscope._deferred._hot_path import FREE_THREADED

__all__ = ["HotPath", "Record", "encode_logs", "encode_spans", "give_ids", "new_count", "python_reason"]

python_reason = ""
"""Why it is not compiled; empty if it is."""


def encode_one_by_one(
    records: list[Any], _find: Callable[[Any], Any], encode: Callable[[Any], tuple[bytes, ...]]
) -> bytes:
    """Encode records as the compiled `encode_spans` and `encode_logs` do.

    Args:
        records: ended.
        _find: returns the pieces of the template that a record without details is filled in, or None.
        encode: encodes any record.
    """
    return b"".join([part for record in records for part in encode(record)])


def count_in_python() -> Callable[[], int]:
    """Return what counts from 0, one a call; a step of the interpreter's, so exact in all threads."""
    return itertools.count().__next__


if TYPE_CHECKING:
    from sandscope._deferred._hot_path import HotPath, Record

    encode_logs = encode_spans = encode_one_by_one
    new_count = count_in_python
    give_ids: Callable[[list[Any], bytes, int], list[Any]] | None = None
else:
    try:
        if os.environ.get(_settings.RECORDER, "").strip().lower() == "python":
            raise ImportError(f"{_settings.RECORDER} is python")
        if FREE_THREADED:
            raise ImportError("this Python runs threads at the same time")
        from sandscope._deferred._native import (
            HotPath,
            Record,
            encode_logs,
            encode_spans,
            give_ids,
            new_count,
        )
    except ImportError as error:
        from sandscope._deferred._hot_path import HotPath, Record

        encode_logs = encode_spans = encode_one_by_one
        new_count = count_in_python
        give_ids = None
        python_reason = str(error)
