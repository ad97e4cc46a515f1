"""What a child's exporters write to the pipe: never waits for long, opens no socket, and tells what is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sandscope import _relay_pipe
from sandscope._internals import records_in
from sandscope._internals._relay_transport import RelayTransport
from sandscope._internals._requests import split
from sandscope._relay._assembly import Assembly, Received
from sandscope._relay_packets import MOST_REQUEST

URL = "http://nowhere/v1/traces"


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Give this process a pipe, as its parent would, and return the other end."""
    reader, writer = os.pipe()
    for each in (reader, writer):
        os.set_blocking(each, False)
    monkeypatch.setattr(_relay_pipe, "_adopted", None)
    for name, value in _relay_pipe.variable_for(writer).items():
        monkeypatch.setenv(name, value)
    os.set_inheritable(writer, True)
    _relay_pipe.adopt()
    assert _relay_pipe.VARIABLE not in os.environ
    assert not os.get_inheritable(writer)
    yield reader
    os.close(writer)


def request(spans: int, size: int) -> bytes:
    message = ExportTraceServiceRequest()
    for _ in range(2):
        scope = message.resource_spans.add().scope_spans.add()
        for number in range(spans // 2):
            scope.spans.add(name=f"{number:05}" + "x" * size)
    return message.SerializeToString()


def received(reader: int) -> list[Received]:
    return list(Assembly().take(os.read(reader, 1 << 20)))


@pytest.mark.parametrize(("spans", "size"), [(10, 10), (1000, 1000), (4, MOST_REQUEST // 2), (1998, 700)])
def test_a_large_request_is_split(spans: int, size: int) -> None:
    parts = list(split("span", request(spans, size), MOST_REQUEST))
    assert sum(records_in("span", part) for part in parts) == spans
    assert max(map(len, parts)) <= MOST_REQUEST
    names = [
        span.name
        for part in parts
        for group in ExportTraceServiceRequest.FromString(part).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]
    assert names == [f"{number:05}" + "x" * size for _ in range(2) for number in range(spans // 2)]


def test_a_request_arrives(reader: int) -> None:
    sent = request(20, 1000)
    assert RelayTransport("span").request("POST", URL, data=sent).status_code == 200
    assert received(reader) == [Received("span", sent)]
    os.close(reader)


def test_what_finds_no_room_is_lost_and_the_parent_learns_how_much(reader: int) -> None:
    transport = RelayTransport("span")
    for _ in range(2):
        assert transport.request("POST", URL, data=request(200, 1000), timeout=0.01).status_code == 200
    received(reader)
    assert transport.request("POST", URL, data=request(2, 1), timeout=0.01).status_code == 200
    assert received(reader) == [Received("span", request(2, 1)), Received("span", b"", 400)]
    os.close(reader)


def test_a_record_that_is_too_large_is_lost(reader: int) -> None:
    RelayTransport("span").request("POST", URL, data=request(2, MOST_REQUEST))
    assert received(reader) == [Received("span", b"", 2)]
    os.close(reader)


def test_without_a_reader_nothing_happens_also_where_sigpipe_ends_a_program(reader: int) -> None:
    os.close(reader)
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        assert RelayTransport("span").request("POST", URL, data=request(2, 1)).status_code == 200
        assert signal.SIGPIPE not in signal.sigpending()
        assert signal.SIGPIPE not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGPIPE, before)


@pytest.mark.parametrize("value", ["", "1", "x:y", "-1:5", "99999:1", "1" * 30 + ":1", "0:0", "1e3:1"])
def test_a_variable_that_names_no_pipe(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_relay_pipe, "_adopted", None)
    monkeypatch.setenv(_relay_pipe.VARIABLE, value)
    _relay_pipe.adopt()
    assert _relay_pipe.descriptor() is None
    assert _relay_pipe.VARIABLE not in os.environ


def test_a_descriptor_that_the_program_has_reused_is_not_written_to(reader: int) -> None:
    descriptor = _relay_pipe.descriptor()
    assert descriptor is not None
    other, own = os.pipe()
    os.dup2(own, descriptor)
    RelayTransport("span").request("POST", URL, data=request(2, 1))
    os.set_blocking(other, False)
    with pytest.raises(BlockingIOError):
        os.read(other, 1)
    for each in (other, own, reader):
        os.close(each)
