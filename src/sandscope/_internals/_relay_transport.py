"""A transport for the SDK's OTLP exporters that writes to the pipe to the parent process, and opens no socket."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from opentelemetry.exporter.http.transport._base import BaseHTTPResult, BaseHTTPTransport

from sandscope import _relay_packets, _relay_pipe
from sandscope._internals._requests import records_in, split
from sandscope._locks import new_lock
from sandscope._relay_packets import MOST_REQUEST, Signal

_PATIENCE = 1.0
"""Seconds for which a request waits for room in the pipe. Then it is dropped: the parent is busy, or stopped."""
_PAUSE = 0.002


@dataclass(frozen=True, slots=True)
class _Result(BaseHTTPResult):
    def content(self) -> bytes:
        """See `BaseHTTPResult`."""
        return b""

    def headers(self) -> Mapping[str, str]:
        """See `BaseHTTPResult`."""
        return {}


class RelayTransport(BaseHTTPTransport):
    """Writes requests to the pipe. What cannot be written is dropped, and counted by the parent if it still reads."""

    def __init__(self, kind: Signal) -> None:
        """Write nothing yet.

        Args:
            kind: the signal of the exporter's requests.
        """
        self._kind: Signal = kind
        self._lock = new_lock()
        self._writer, self._pid = 0, 0
        self._lost = 0

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
        data: bytes | None = None,
    ) -> BaseHTTPResult:
        """See `BaseHTTPTransport`. Always succeeds: nobody could do more about what is lost."""
        with self._lock, _without_sigpipe():
            if self._pid != os.getpid():
                self._pid, self._writer, self._lost = os.getpid(), int.from_bytes(os.urandom(4), "big"), 0
            self._send(data or b"", time.monotonic() + min(_PATIENCE, timeout or _PATIENCE))
        return _Result(200, "OK")

    def close(self) -> None:
        """Do nothing: the pipe stays open for the other signals."""

    def is_connection_error(self, exception: Exception | None) -> bool:
        """See `BaseHTTPTransport`."""
        return False

    def _send(self, request: bytes, deadline: float) -> None:
        for part in split(self._kind, request, MOST_REQUEST):
            packets = _relay_packets.packets_of(self._kind, part, self._writer)
            if len(part) > MOST_REQUEST or not all(self._write(packet, deadline) for packet in packets):
                self._lost += records_in(self._kind, part)
        if self._lost:
            lost = _relay_packets.lost_packet(self._kind, self._lost, self._writer)
            if self._write(lost, 0.0):
                self._lost = 0

    def _write(self, packet: bytes, deadline: float) -> bool:
        """Write a packet, and return whether it has been written. Waits for room in the pipe until the deadline."""
        while True:
            descriptor = _relay_pipe.descriptor()
            if descriptor is None:
                return False
            try:
                os.write(descriptor, packet)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_PAUSE)
            except OSError:  # the parent has ended, or reads no more
                return False
            else:
                return True


@contextmanager
def _without_sigpipe() -> Iterator[None]:
    """Let a pipe that nobody reads be an error, also in a program that wants to be ended by the signal."""
    if signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN:
        yield
        return
    was_pending = signal.SIGPIPE in signal.sigpending()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    try:
        yield
    finally:
        if not was_pending and signal.SIGPIPE in signal.sigpending():
            with suppress(OSError):
                signal.sigwait({signal.SIGPIPE})
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
