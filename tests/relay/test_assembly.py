"""Packets of a pipe become requests again; what is no packet, or too much, takes no memory."""

from __future__ import annotations

import os
import random

import pytest

from sandscope._relay._assembly import Assembly, BrokenPacketError, Received
from sandscope._relay_packets import (
    FIRST,
    HEADER,
    LAST,
    MOST_PACKET,
    MOST_REQUEST,
    lost_packet,
    packets_of,
)


def taken(data: bytes, step: int = 1 << 16) -> list[Received]:
    assembly = Assembly()
    return [each for start in range(0, len(data), step) for each in assembly.take(data[start : start + step])]


@pytest.mark.parametrize("size", [1, 4087, 4088, 4089, 100_000, MOST_REQUEST])
@pytest.mark.parametrize("step", [7, 4096, 1 << 16])
def test_a_request_arrives_as_it_was_sent(size: int, step: int) -> None:
    request = os.urandom(size)
    packets = list(packets_of("log", request, 7))
    assert max(map(len, packets)) <= MOST_PACKET
    assert taken(b"".join(packets), step) == [Received("log", request)]


def test_requests_of_several_writers_are_mixed() -> None:
    requests = {writer: os.urandom(20_000) for writer in range(8)}
    waiting = [list(packets_of("span", request, writer)) for writer, request in requests.items()]
    order = random.Random(1)  # noqa: S311 -- the same each time
    data = b""
    while any(waiting):
        data += order.choice([each for each in waiting if each]).pop(0)
    assert {each.request for each in taken(data)} == {*requests.values()}


def test_a_writer_that_dies_in_the_middle_loses_its_request_only() -> None:
    torn, whole = list(packets_of("span", os.urandom(20_000), 1)), list(packets_of("span", b"whole", 2))
    assert taken(b"".join(torn[:3] + whole)) == [Received("span", b"whole")]
    assert taken(b"".join(torn[:3] + list(packets_of("span", b"again", 1)))) == [Received("span", b"again")]
    assert taken(b"".join(torn[1:] + whole)) == [Received("span", b"whole")]


def test_an_endless_request_is_dropped() -> None:
    part = bytes(MOST_PACKET - HEADER.size)
    first, more = (HEADER.pack(len(part), 1, flags, 1) + part for flags in (FIRST, 0))
    assembly = Assembly()
    received = list(assembly.take(first))
    for _ in range(1000):
        received += assembly.take(more)
        assert assembly.size <= MOST_REQUEST + MOST_PACKET
    assert received == [Received("span", b"")]


def test_many_requests_that_never_end_take_a_bounded_memory() -> None:
    assembly, part = Assembly(), bytes(1000)
    for writer in range(5000):
        for flags in (FIRST, 0):
            assert not list(assembly.take(HEADER.pack(len(part), 1, flags, writer) + part))
        assert assembly.size <= 16 * 2 * len(part)
    assert list(assembly.take(HEADER.pack(1, 1, LAST, 4999) + b"e")) == [Received("span", part + part + b"e")]


def test_what_a_child_has_lost() -> None:
    assert taken(lost_packet("log", 12, 1)) == [Received("log", b"", 12)]
    assert taken(lost_packet("log", 1 << 40, 1)) == [Received("log", b"", 0xFFFFFFFF)]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(100),
        HEADER.pack(0, 1, 3, 1) + b"more",
        HEADER.pack(MOST_PACKET, 1, 3, 1) + bytes(MOST_PACKET),
        HEADER.pack(1, 9, 3, 1) + b"a",
        HEADER.pack(5, 1, 4, 1) + b"12345",
        b"\xff" * 4096,
    ],
)
def test_what_is_no_packet(data: bytes) -> None:
    with pytest.raises(BrokenPacketError):
        taken(data)
