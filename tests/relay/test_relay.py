"""One thread reads all pipes: it bounds what it takes, blocks nobody, and leaves no descriptor open."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext

from harness import wait_until
from sandscope._execution import Execution
from sandscope._relay import _relayed_records
from sandscope._relay._child_requests import Accepted
from sandscope._relay._outbox import Outbox
from sandscope._relay._relay import Relay
from sandscope._relay_packets import FIRST, HEADER, LAST, lost_packet, packets_of

OUTCOMES = _relayed_records._counts


class FakeOutbox:
    """Takes requests, unless the Collector hangs."""

    def __init__(self) -> None:
        self.resource = Resource()
        self.requests: list[bytes] = []
        self.answers = threading.Event()
        self.answers.set()

    def add(self, signal: str, accepted: Accepted) -> None:
        self.answers.wait()
        self.requests.append(accepted.request)

    def send(self) -> None:
        pass

    send_if_due = send

    def spans(self) -> int:
        return sum(
            len(scope.spans)
            for request in list(self.requests)
            for group in ExportTraceServiceRequest.FromString(request).resource_spans
            for scope in group.scope_spans
        )


class Child:
    """An execution, and the end of the pipe that its child would have."""

    def __init__(self, relay: Relay, number: int = 1) -> None:
        self.identity = SpanContext(number, number, False)
        self.context = trace.set_span_in_context(NonRecordingSpan(self.identity))
        self.start_time = time.time_ns()
        self._ends: list[Callable[..., None]] = []
        reader, self.descriptor = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(self.descriptor, False)
        self.is_added = relay.add(reader, cast(Execution, self))
        if not self.is_added:
            os.close(reader)

    def on_end(self, callback: Callable[..., None]) -> None:
        self._ends.append(callback)

    def end(self) -> None:
        for callback in self._ends:
            callback(None, 0)

    def request(self, spans: int = 1) -> bytes:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for number in range(spans):
            scope.spans.add(
                trace_id=self.identity.trace_id.to_bytes(16, "big"),
                span_id=(1000 + number).to_bytes(8, "big"),
                start_time_unix_nano=time.time_ns(),
                end_time_unix_nano=time.time_ns(),
            )
        return request.SerializeToString()

    def write(self, data: bytes) -> int:
        """Write as much as there is room for."""
        try:
            return os.write(self.descriptor, data)
        except BlockingIOError:
            return 0

    def send(self, spans: int = 1) -> None:
        for packet in packets_of("span", self.request(spans), 1):
            assert wait_until(lambda packet=packet: self.write(packet))  # type: ignore[misc]

    def close(self) -> None:
        os.close(self.descriptor)


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def outbox() -> FakeOutbox:
    return FakeOutbox()


@pytest.fixture
def relay(outbox: FakeOutbox) -> Iterator[Relay]:
    OUTCOMES.clear()
    before = _descriptors()
    relay = Relay(cast(Outbox, outbox))
    yield relay
    relay.close()  # waits for a second only
    assert wait_until(lambda: "sandscope-relay" not in {thread.name for thread in threading.enumerate()})
    assert relay.children == 0
    assert _descriptors() <= before
    OUTCOMES.clear()


def test_without_a_child_there_is_no_thread(relay: Relay) -> None:
    assert "sandscope-relay" not in {thread.name for thread in threading.enumerate()}


def test_what_was_written_arrives_and_the_pipe_is_closed_when_all_ends_are(
    relay: Relay, outbox: FakeOutbox
) -> None:
    child = Child(relay)
    child.send(spans=500)
    assert wait_until(lambda: outbox.spans() == 500)
    child.send()
    child.close()
    assert wait_until(lambda: relay.children == 0)
    assert outbox.spans() == 501


def test_what_is_in_the_pipe_when_the_child_ends_arrives(relay: Relay, outbox: FakeOutbox) -> None:
    child = Child(relay)
    for _ in range(20):
        child.send()
    child.end()
    child.close()
    assert wait_until(lambda: relay.children == 0)
    assert outbox.spans() == 20


def test_a_grandchild_that_keeps_the_descriptor_does_not_keep_the_pipe_open(
    relay: Relay, outbox: FakeOutbox
) -> None:
    child = Child(relay)
    child.send()
    child.end()
    assert wait_until(lambda: relay.children == 0)
    assert outbox.spans() == 1
    with pytest.raises(BrokenPipeError):
        os.write(child.descriptor, b"more")
    child.close()


def test_100_children_at_once(relay: Relay, outbox: FakeOutbox) -> None:
    children = [Child(relay, number) for number in range(1, 101)]
    for child in children:
        child.send(spans=10)
        child.end()
        child.close()
    assert wait_until(lambda: relay.children == 0)
    assert outbox.spans() == 1000


def test_a_child_that_writes_without_end_is_read_at_a_bounded_rate(relay: Relay, outbox: FakeOutbox) -> None:
    """And nobody else has to wait for it."""
    hostile, child = Child(relay, 1), Child(relay, 2)
    tiny = HEADER.pack(1, 1, FIRST | LAST, 1) + b"\xff"
    written, begun = 0, time.monotonic()
    while time.monotonic() < begun + 3:
        written += hostile.write(tiny * 400)
    at_once, a_second = (4 << 20) / 265, (2 << 20) / 265
    in_pipe = 65536 / len(tiny)
    assert written / len(tiny) < at_once + a_second * (time.monotonic() - begun) + 2 * in_pipe
    assert OUTCOMES["span", "invalid"] <= written / len(tiny)
    child.send()
    assert wait_until(lambda: outbox.spans() == 1)
    for each in (hostile, child):
        each.end()
        each.close()
    assert wait_until(lambda: relay.children == 0)


def test_after_a_broken_packet_everything_is_dropped_but_the_child_can_still_write(
    relay: Relay, outbox: FakeOutbox
) -> None:
    child = Child(relay)
    child.write(b"canary" * 1000)
    assert wait_until(lambda: OUTCOMES["span", "invalid"] == 1)
    for _ in range(10):
        child.send()
    assert wait_until(lambda: child.write(bytes(65536)) == 65536), "it is read"
    child.close()
    assert wait_until(lambda: relay.children == 0)
    assert (outbox.spans(), OUTCOMES["span", "invalid"]) == (0, 1)


def test_an_error_with_one_child_is_not_one_of_another(
    relay: Relay, outbox: FakeOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Child(relay, 1), Child(relay, 2)
    add = outbox.add

    def fail_once(signal: str, accepted: Accepted) -> None:
        monkeypatch.setattr(outbox, "add", add)
        raise MemoryError

    monkeypatch.setattr(outbox, "add", fail_once)
    first.send()
    assert wait_until(lambda: relay.children == 1)
    second.send()
    assert wait_until(lambda: outbox.spans() == 1)
    for child in (first, second):
        child.close()


def test_a_parent_that_cannot_send_does_not_block_the_child(relay: Relay, outbox: FakeOutbox) -> None:
    outbox.answers.clear()
    child = Child(relay)
    child.send()
    assert wait_until(lambda: not child.write(bytes(4096))), "the pipe is full"
    child.close()
    outbox.answers.set()


def test_what_a_child_says_that_it_has_lost_is_counted(relay: Relay) -> None:
    child = Child(relay)
    child.write(lost_packet("log", 3, 1) + lost_packet("log", 4, 2))
    assert wait_until(lambda: OUTCOMES["log", "lost"] == 7)
    child.close()


def test_a_descriptor_that_the_program_has_closed_and_reused_is_left_alone(relay: Relay) -> None:
    child = Child(relay)
    assert wait_until(lambda: relay._channels)
    (channel,) = relay._channels
    reader, writer = os.pipe()
    os.dup2(reader, channel.descriptor)
    os.write(writer, b"the program's own")
    child.end()
    assert wait_until(lambda: relay.children == 0)
    assert os.read(channel.descriptor, 100) == b"the program's own"
    for descriptor in (reader, writer, channel.descriptor, child.descriptor):
        os.close(descriptor)


def test_a_forked_process_has_none_of_the_pipes(relay: Relay, outbox: FakeOutbox) -> None:
    child = Child(relay)
    assert wait_until(lambda: relay._channels)
    (channel,) = relay._channels
    pid = os.fork()
    if pid == 0:
        try:
            os.fstat(channel.descriptor)
        except OSError:
            os._exit(relay.children)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    child.send()
    assert wait_until(lambda: outbox.spans() == 1)
    child.close()


def test_after_its_end_the_relay_takes_no_child(relay: Relay) -> None:
    child: Any = Child(relay)
    child.send()
    relay.close()
    late = Child(relay)
    assert not late.is_added
    for each in (child, late):
        each.close()
