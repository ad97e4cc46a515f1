"""The host's side of a store's ledger: read after a call, written before one."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from sandscope_instrumentation_wasmtime._probe import _layout as at
from sandscope_instrumentation_wasmtime._probe._environ import NOTHING, Block

_FIRST_STATE = (7, 0, 0, 0, 0, 0, 0)
"""All three standard streams are what the host gave; nothing is kept."""


class Denial(NamedTuple):
    """A path that was refused."""

    function: int
    errno: int
    path: bytes


class Piece(NamedTuple):
    """Something that the guest wrote to stdout (1) or stderr (2)."""

    descriptor: int
    content: bytes


class Entries(NamedTuple):
    """What the meters of a store have written since it was last read.

    Attributes:
        counts: by `COUNTERS`.
        denials: the first ones.
        output: in the order in which it was written.
        is_cut: more was written than there was room for.
    """

    counts: tuple[int, ...]
    denials: list[Denial]
    output: list[Piece]
    is_cut: bool


class Ledger:
    """One store's memory of entries. It never refers to the store."""

    __slots__ = ("__weakref__", "_before", "_memory", "_start")

    def __init__(self, wasmtime: Any, store: Any) -> None:
        limits = wasmtime.Limits(at.PAGES, at.PAGES)
        self._memory = wasmtime.Memory(store, wasmtime.MemoryType(limits))
        self._before = (0,) * len(at.COUNTERS)
        # It cannot grow, and so does not move.
        self._start = ctypes.cast(self._memory.data_ptr(store), ctypes.c_void_p).value or 0
        ctypes.memmove(self._start, at.HEAD.pack(*self._before, *_FIRST_STATE), at.HEAD.size)

    @property
    def memory(self) -> Any:
        """The memory, for the meters to import."""
        return self._memory

    def take(self, store: Any) -> Entries | None:
        """Return what is new and forget it, or None."""
        address = self._address(store)
        head = at.HEAD.unpack(ctypes.string_at(address, at.HEAD.size))
        counts, (_, _, _, used, _, lost, denials) = head[: len(at.COUNTERS)], head[len(at.COUNTERS) :]
        before, self._before = self._before, counts
        if counts == before and not used and not lost:
            return None
        entries = Entries(
            tuple(now - then for now, then in zip(counts, before, strict=True)),
            [_denial(address, index) for index in range(denials)],
            _pieces(ctypes.string_at(address + at.OUTPUT_AT, used)),
            bool(lost),
        )
        for word in (at.USED, at.LAST, at.LOST, at.DENIALS):
            _write(address, word, 0)
        return entries

    def open(self, store: Any, room: int, block: Block = NOTHING) -> None:
        """Say what guests may write and find from now on.

        Args:
            store: the ledger's.
            room: bytes of output to keep until the next reading; 0 keeps none.
            block: variables.
        """
        start = self._address(store)
        ctypes.memmove(start + block.address, block.content, len(block.content))
        ctypes.memmove(
            start + at.ENVIRONMENT, at.OFFER.pack(block.address, min(room, at.OUTPUT_SIZE)), at.OFFER.size
        )

    def trust_stdio(self, store: Any) -> None:
        """Take descriptors 0, 1 and 2 for the host's streams again."""
        _write(self._address(store), at.STDIO, 7)

    def _address(self, store: Any) -> int:
        store._context()  # raises if the store is closed, and the memory gone
        return self._start


def _write(address: int, word: int, value: int) -> None:
    ctypes.c_uint32.from_address(address + word).value = value


def _denial(address: int, index: int) -> Denial:
    slot = address + at.SLOTS_AT + index * at.SLOT_SIZE
    function, errno, size = at.SLOT.unpack(ctypes.string_at(slot, at.SLOT.size))
    return Denial(function, errno, ctypes.string_at(slot + at.SLOT.size, min(size, at.PATH)))


def _pieces(output: bytes) -> list[Piece]:
    pieces, position = [], 0
    while position < len(output):
        descriptor, size = at.PIECE.unpack_from(output, position)
        start = position + at.PIECE.size
        position = start + size
        pieces.append(Piece(descriptor, output[start:position]))
    return pieces
