"""The memory in which the counting modules of a store's guests write, and which the host reads after each call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Any, NamedTuple

from sandscope_instrumentation_wasmtime._probe._wasi_functions import DENIED, NAMES

PAGES = 5
PAGE = 65536
SIZE = PAGES * PAGE

COUNTERS = (
    "file.operations",
    "file.errors",
    "file.bytes_read",
    "file.bytes_written",
    "network.requests",
    "network.errors",
    "network.bytes_sent",
    "network.bytes_received",
    "denied",
)
"""Eight bytes each, from address 0."""

# Addresses of numbers with four bytes each. The host sets those before STREAMS to 0 when it has read them.
DENIALS = 8 * len(COUNTERS)
"""How many denials follow at DENIALS_AT."""
USED = DENIALS + 4
"""How many bytes of output follow at OUTPUT_AT."""
LOST = DENIALS + 8
"""1 if there was more output than room."""
STREAMS = DENIALS + 12
"""Bit n is set while descriptor n is the standard stream that the host gave."""
ROOM = DENIALS + 16
"""How many bytes of output may be kept."""

DENIAL = Struct("<III256s")
"""Index of the function, error number, length of the path, path."""
DENIALS_AT, MOST_DENIALS = 128, 64
LONGEST_PATH = 256

WRITE = Struct("<II")
"""Descriptor and length; the bytes that were written follow."""
OUTPUT_AT, OUTPUT_SIZE = PAGE, (PAGES - 1) * PAGE

_READ = Struct(f"<{len(COUNTERS)}QIII")
_NOTHING = bytes(_READ.size)


class Denial(NamedTuple):
    """A path that WASI refused, with the names of the function and of the error number."""

    function: str
    errno: str
    path: bytes


class Entries(NamedTuple):
    """What was written since the memory was last read.

    Attributes:
        counts: by `COUNTERS`.
        denials: the first ones.
        output: descriptor and bytes of each write to a standard stream, in order.
        is_cut: more was written to the streams than there was room for.
    """

    counts: Mapping[str, int]
    denials: list[Denial]
    output: list[tuple[int, bytes]]
    is_cut: bool


class ProbeMemory:
    """The memory of one store. It never refers to the store.

    Attributes:
        memory: for the counting modules to import.
    """

    def __init__(self, wasmtime: Any, store: Any, *, output: bool) -> None:
        """Make the memory.

        Args:
            wasmtime: the package.
            store: gets the memory.
            output: keep what guests write to stdout and stderr.

        Raises:
            WasmtimeError: if the store cannot have another memory.
        """
        self.memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(PAGES, PAGES)))
        self._write_number(store, ROOM, OUTPUT_SIZE if output else 0)
        self.reset_streams(store)

    def reset_streams(self, store: Any) -> None:
        """Treat descriptors 0, 1 and 2 as the host's streams again."""
        self._write_number(store, STREAMS, 0b111)

    def take(self, store: Any) -> Entries | None:
        """Return what was written and clear it, or None if nothing was.

        Raises:
            ValueError: if the store is closed.
        """
        content = self.memory.read(store, 0, _READ.size)
        if content == _NOTHING:
            return None
        *counts, denials, used, lost = _READ.unpack(content)
        denied = self.memory.read(store, DENIALS_AT, DENIALS_AT + denials * DENIAL.size)
        output = self.memory.read(store, OUTPUT_AT, OUTPUT_AT + used)
        self.memory.write(store, _NOTHING, 0)
        return Entries(
            dict(zip(COUNTERS, counts, strict=True)),
            [
                Denial(NAMES[function], DENIED[errno], path[:size])
                for function, errno, size, path in DENIAL.iter_unpack(denied)
            ],
            list(_writes(bytes(output))),
            bool(lost),
        )

    def _write_number(self, store: Any, address: int, value: int) -> None:
        self.memory.write(store, value.to_bytes(4, "little"), address)


def _writes(output: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(output):
        descriptor, size = WRITE.unpack_from(output, position)
        start = position + WRITE.size
        position = start + size
        yield descriptor, output[start:position]
