"""Reads from the memory of a guest, at an address that it chooses."""

from __future__ import annotations

from typing import Any

_UNSIGNED = 2**32


def read(caller: Any, address: int, length: int, most: int) -> bytes | None:
    """Return bytes from the memory that the calling guest exports as ``memory``.

    Args:
        caller: wasmtime's `Caller`.
        address: of the first byte; wasmtime passes 32-bit numbers as signed.
        length: in bytes, also signed.
        most: how many bytes to return at most; the rest is omitted.

    Returns:
        None if a part is outside of the memory, or if the guest exports no such memory.
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
