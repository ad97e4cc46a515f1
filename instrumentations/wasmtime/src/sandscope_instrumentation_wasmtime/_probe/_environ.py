"""The call's own trace context for a guest that reads its environment while the call runs.

At `Store.set_wasi` the context of that moment was put at the environment's end, or nothing if there was none.
In its place guests find the variables of the call; what the user set stays.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple

from opentelemetry.context import Context

from sandscope.instrumentation import inject_environment
from sandscope_instrumentation_wasmtime._probe import _layout as at


class Block(NamedTuple):
    """Variables as the ledger has them, and where."""

    address: int
    content: bytes


NOTHING = Block(0, b"")
"""Leaves the environment as it is."""

_Sizes = tuple[int, ...]


class Environ:
    """Where blocks of variables are in the ledger of one store.

    A guest that has asked for sizes gets exactly that much later: each combination of sizes has an address of
    its own for as long as the store lives, and only the values there change.
    """

    __slots__ = ("_addresses", "_end")

    def __init__(self) -> None:
        self._addresses: dict[tuple[_Sizes, _Sizes], int] = {}
        self._end = at.ENVIRONMENT_AT

    def block(self, carried: Mapping[str, str], context: Context) -> Block:
        """Return the variables of a context.

        Args:
            carried: what stands at the environment's end now.
            context: whose variables are to stand there instead.
        """
        fresh: dict[str, str] = {}
        inject_environment(fresh, context)
        old, new = _entries(carried), _entries(fresh)
        old_sizes, sizes = tuple(map(len, old)), tuple(map(len, new))
        # WASI will have written the old ones where the new ones are to be.
        if not new or not carried.keys() <= fresh.keys() or sum(old_sizes) > sum(sizes):
            return NOTHING
        head = at.BLOCK.pack(len(old), sum(old_sizes), len(new), sum(sizes))
        offsets = struct.pack(f"<{len(new)}I", *accumulate((0, *sizes[:-1])))
        content = head + offsets + b"".join(new)
        address = self._address((old_sizes, sizes), len(content))
        return Block(address, content) if address else NOTHING

    def _address(self, key: tuple[_Sizes, _Sizes], size: int) -> int:
        address = self._addresses.get(key, 0)
        if not address and self._end + size <= at.ENVIRONMENT_END:
            address = self._addresses[key] = self._end
            self._end += size + -size % 8
        return address


def _entries(variables: Mapping[str, str]) -> list[bytes]:
    return [f"{name}={value}\0".encode() for name, value in variables.items()]
