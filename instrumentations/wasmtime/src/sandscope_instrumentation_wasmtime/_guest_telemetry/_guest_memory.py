"""Reads what a guest points at; it may point anywhere."""

from __future__ import annotations

from typing import Any

_UNSIGNED = 2**32


def read(caller: Any, address: int, length: int, most: int) -> bytes | None:
    """Return a piece of the memory that the calling guest exports as ``memory``.

    Args:
        caller: wasmtime's `Caller`.
        address: of the first byte; wasmtime hands numbers of 32 bits over as signed.
        length: in bytes, likewise.
        most: bytes to return; what is beyond is left out.

    Returns:
        None if some of it is outside of the memory, or there is no such memory.
    """
    from wasmtime import Memory

    memory = caller.get("memory")
    if not isinstance(memory, Memory):
        return None
    start = address if address >= 0 else address + _UNSIGNED
    size = length if length >= 0 else length + _UNSIGNED
    if start < 0 or start + size > memory.data_len(caller):
        return None
    return bytes(memory.read(caller, start, start + min(size, most)))
