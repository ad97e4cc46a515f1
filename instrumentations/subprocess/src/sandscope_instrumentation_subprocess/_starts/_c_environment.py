"""The environment of the C library, which child processes inherit."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

_library = ctypes.CDLL(None)
_POINTER_SIZE = ctypes.sizeof(ctypes.c_void_p)


class _Memory(NamedTuple):
    """Some memory of the C library, and what was in it."""

    now: Any
    before: bytes


class _Read(NamedTuple):
    """The environment when it was last read.

    Attributes:
        address: of the array of pointers.
        memory: that array, with the null pointer at its end, and the variables that it points to.
        entries: the variables.
    """

    address: int | None
    memory: list[_Memory]
    entries: list[bytes]


_read = _Read(None, [], [])


def c_environment() -> list[bytes]:
    """Return the variables that a child inherits, as ``NAME=VALUE``: the same list as before if nothing has changed.

    ``os.environ`` contains neither what ``os.putenv`` has set nor what C code has set or removed.
    """
    global _read  # noqa: PLW0603 -- one environment
    read = _read
    if _environ.value != read.address:
        read = _read = _read_again()
        return read.entries
    for memory in read.memory:  # the pointers come first: as long as they are the same, the rest is readable
        if memory.now.raw != memory.before:
            read = _read = _read_again()
            return read.entries
    return read.entries


def _read_again() -> _Read:
    address = _environ.value
    if not address:
        return _Read(address, [], [])
    pointers: list[int] = []
    while pointer := ctypes.c_void_p.from_address(address + len(pointers) * _POINTER_SIZE).value:
        pointers.append(pointer)
    entries = [ctypes.string_at(pointer) for pointer in pointers]
    array = _memory(address, (len(pointers) + 1) * _POINTER_SIZE)
    return _Read(address, [array, *_blocks(pointers, entries)], entries)


def _blocks(pointers: list[int], entries: list[bytes]) -> Iterator[_Memory]:
    """Return the memory of all variables: those that a process starts with follow one another."""
    begin = end = 0
    for pointer, entry in sorted(zip(pointers, entries, strict=True)):
        if pointer != end:
            if end:
                yield _memory(begin, end - begin)
            begin = pointer
        end = pointer + len(entry) + 1
    if end:
        yield _memory(begin, end - begin)


def _memory(address: int, size: int) -> _Memory:
    now = (ctypes.c_char * size).from_address(address)
    return _Memory(now, now.raw)


def _find() -> Any:
    """Return the variable ``environ``."""
    if sys.platform == "darwin":
        function: Any = _library._NSGetEnviron
        function.restype = ctypes.POINTER(ctypes.c_void_p)
        return function().contents
    return ctypes.c_void_p.in_dll(_library, "environ")


_environ = _find()
