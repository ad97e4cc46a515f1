"""The environment of the C library, which child processes inherit, and the one that this process inherited."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache
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


@lru_cache(maxsize=1)
def entries_at_start() -> frozenset[bytes]:
    """Return the variables that this process inherited, as ``NAME=VALUE``.

    Where the system does not tell: those of `os.environ` when this module was imported.
    """
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 -- delays the first child
            return frozenset(file.read().split(b"\0"))
    except OSError:
        return _when_imported


_when_imported = frozenset(name + b"=" + value for name, value in os.environb.items())

_Array = ctypes.POINTER(ctypes.c_char_p)
_library = ctypes.CDLL(None)


def _array() -> Any:
    if sys.platform == "darwin":
        address: Any = _library._NSGetEnviron
        address.restype = ctypes.POINTER(_Array)
        return address()[0]
    return _Array.in_dll(_library, "environ")
