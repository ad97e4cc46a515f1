"""What a child writes to its pipe: requests in packets, each of which is written at once or not at all.

The kernel does not mix what several processes write if each write has at most ``PIPE_BUF`` bytes. So a child, its forks
and their threads share one pipe without a lock, and no writer leaves half a packet behind when it dies.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Iterator
from typing import Literal

Signal = Literal["span", "log", "metric"]

HEADER = struct.Struct("!HBBI")
"""Of a packet: the length of what follows the header, the signal, flags, and a number of the writer."""
NUMBERS: dict[Signal, int] = {"span": 1, "log": 2, "metric": 3}
FIRST, LAST, LOST = 1, 2, 4
"""Flags: the first and the last packet of a request; or the packet says how many records the writer has dropped."""
COUNT = struct.Struct("!I")
"""What follows the header of a packet with the flag `LOST`."""
MOST_PACKET = 4096
"""Bytes of a packet, with its header."""
MOST_REQUEST = 256 << 10
"""Bytes of a request: to parse it must not delay the program's threads."""

_ROOM = min(MOST_PACKET, getattr(select, "PIPE_BUF", 512)) - HEADER.size


def packets_of(signal: Signal, request: bytes, writer: int) -> Iterator[bytes]:
    """Yield the packets of a request.

    Args:
        signal: of the request.
        request: encoded.
        writer: a number that no other thread or process uses at the same time for this signal.
    """
    for start in range(0, len(request), _ROOM):
        part = request[start : start + _ROOM]
        flags = (0 if start else FIRST) | (LAST if start + _ROOM >= len(request) else 0)
        yield HEADER.pack(len(part), NUMBERS[signal], flags, writer) + part


def lost_packet(signal: Signal, records: int, writer: int) -> bytes:
    """Return the packet that says how many records were dropped."""
    count = COUNT.pack(min(records, 0xFFFFFFFF))
    return HEADER.pack(len(count), NUMBERS[signal], LOST, writer) + count
