"""The environment of the C library, which child processes inherit."""

from __future__ import annotations

import ctypes
import sys
from typing import Any


def c_environment() -> list[bytes]:
    """Return the variables that a child inherits, as ``NAME=VALUE``.

    ``os.environ`` contains neither what ``os.putenv`` has set nor what C code has set or removed.
    """
    entries: list[bytes] = []
    array = _array()
    while array and (entry := array[len(entries)]) is not None:
        entries.append(entry)
    return entries


_Array = ctypes.POINTER(ctypes.c_char_p)
_library = ctypes.CDLL(None)


def _array() -> Any:
    if sys.platform == "darwin":
        address: Any = _library._NSGetEnviron
        address.restype = ctypes.POINTER(_Array)
        return address()[0]
    return _Array.in_dll(_library, "environ")
