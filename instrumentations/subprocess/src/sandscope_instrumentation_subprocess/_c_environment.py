"""The environment of the C library, which child processes inherit."""

from __future__ import annotations

import ctypes
import sys
from typing import Any, NamedTuple

_Array = ctypes.POINTER(ctypes.c_char_p)
_library = ctypes.CDLL(None)
_POINTER_SIZE = ctypes.sizeof(ctypes.c_void_p)


class _Counted(NamedTuple):
    address: int | None = None
    pointers: bytes = b""
    variables: int = 0


_counted = _Counted()
"""How many variables there were, and the pointers to them, with the one that ends the array."""


def c_environment() -> list[bytes]:
    """Return the variables that a child inherits, as ``NAME=VALUE``.

    ``os.environ`` contains neither what ``os.putenv`` has set nor what C code has set or removed.
    """
    global _counted  # noqa: PLW0603 -- the last count serves all children until a variable is added or removed
    array, counted = _environ[0], _counted
    if not array:
        return []
    address = ctypes.addressof(array.contents)
    if address == counted.address and ctypes.string_at(address, len(counted.pointers)) == counted.pointers:
        entries: list[bytes] = array[: counted.variables]  # a fiftieth of the time that counting takes
        return entries
    entries = []
    while (entry := array[len(entries)]) is not None:
        entries.append(entry)
    pointers = ctypes.string_at(address, (len(entries) + 1) * _POINTER_SIZE)
    _counted = _Counted(address, pointers, len(entries))
    return entries


def _find() -> Any:
    """Return a pointer to the variable ``environ``."""
    if sys.platform == "darwin":
        function: Any = _library._NSGetEnviron
        function.restype = ctypes.POINTER(_Array)
        return function()
    return ctypes.pointer(_Array.in_dll(_library, "environ"))


_environ = _find()
