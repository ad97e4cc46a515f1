"""Puts the packets of one pipe together to requests. No input is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sandscope._relay_packets import (
    COUNT,
    FIRST,
    HEADER,
    LAST,
    LOST,
    MOST_PACKET,
    MOST_REQUEST,
    NUMBERS,
    Signal,
)

_SIGNALS = {number: signal for signal, number in NUMBERS.items()}
_MOST_UNFINISHED = 16
"""Requests that are not complete, of all processes that write to one pipe. The oldest makes room for another."""
_MOST_UNFINISHED_BYTES = 4 * MOST_REQUEST


class Received(NamedTuple):
    """What a child has sent.

    Attributes:
        signal: of the request.
        request: encoded; empty if it was larger than allowed.
        lost: the number of records that the child has dropped itself.
    """

    signal: Signal
    request: bytes
    lost: int = 0


class BrokenPacketError(Exception):
    """What was read is no packet. Where the next one would begin is not known."""


class Assembly:
    """The requests of one pipe that are not complete."""

    def __init__(self) -> None:
        """Begin without any."""
        self._rest = b""
        self._parts: dict[tuple[int, int], bytearray] = {}

    def take(self, data: bytes) -> Iterator[Received]:
        """Yield the requests that are complete with what was read.

        Raises:
            BrokenPacketError: if it does not begin with a packet.
        """
        data, position = self._rest + data, 0
        while len(data) - position >= HEADER.size:
            length, number, flags, writer = HEADER.unpack_from(data, position)
            if not 0 < length <= MOST_PACKET - HEADER.size or number not in _SIGNALS:
                raise BrokenPacketError
            end = position + HEADER.size + length
            if end > len(data):
                break
            payload, position = data[position + HEADER.size : end], end
            received = self._take_packet(number, flags, writer, payload)
            if received is not None:
                yield received
        self._rest = data[position:]

    def _take_packet(self, number: int, flags: int, writer: int, payload: bytes) -> Received | None:
        signal, key = _SIGNALS[number], (number, writer)
        if flags & LOST:
            if len(payload) != COUNT.size:
                raise BrokenPacketError
            return Received(signal, b"", *COUNT.unpack(payload))
        if flags & FIRST:
            self._parts.pop(key, None)
            if flags & LAST:
                return Received(signal, payload)
            self._parts[key] = bytearray()
        request = self._parts.get(key)
        if request is None:  # it has been too large, or its beginning is missing
            return None
        request += payload
        if flags & LAST:
            del self._parts[key]
            return Received(signal, bytes(request))
        if len(request) > MOST_REQUEST:
            del self._parts[key]
            return Received(signal, b"")
        while len(self._parts) > _MOST_UNFINISHED or self.size > _MOST_UNFINISHED_BYTES:
            del self._parts[next(iter(self._parts))]
        return None

    @property
    def size(self) -> int:
        """The bytes of requests that are not complete."""
        return sum(map(len, self._parts.values()))
