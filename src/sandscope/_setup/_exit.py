"""Sending the rest when the program ends, in bounded time."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider

from sandscope import _guard, _settings
from sandscope._setup import _multiprocessing, _notice

_ONE_RETRY = 1.5
"""Seconds in which an exporter that has failed tries once more."""
_NO_THREADS_AT_EXIT = (3, 12) <= sys.version_info < (3, 12, 2)
"""These versions start no thread any more once the interpreter has begun to end."""


class _Shutdown:
    """The end of one provider, on a thread of its own."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        self._begun_in = 0
        self._go = threading.Event()
        self._thread = self._start() if _NO_THREADS_AT_EXIT else None

    def begin(self) -> None:
        """Start to shut down, once in a process: a child of multiprocessing may come here by two ways."""
        if self._begun_in == os.getpid():
            return
        self._begun_in = os.getpid()
        self._go.set()
        if self._thread is None:
            # Made only now: a fork marks all threads as stopped in the child, those too that never ran.
            self._thread = self._start()
        elif not self._thread.is_alive():  # it stayed behind in the parent of a fork
            self._run()

    def is_under_way(self, patience: float) -> bool:
        """Wait a little, and return whether it goes on."""
        if self._thread is None:
            return False
        self._thread.join(patience)
        return self._thread.is_alive()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="sandscope-exit", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        self._go.wait()
        try:
            self.provider.shutdown()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("exit", error)


def shut_down_at_exit(providers: Sequence[Any]) -> None:
    """Shut providers down one after the other at interpreter exit, and leave behind what takes too long.

    Args:
        providers: SDK providers; their own exit handlers, which wait up to 30 s each, are taken away.
    """
    for provider in providers:
        atexit.unregister(provider.shutdown)
    shutdowns = [_Shutdown(provider) for provider in providers]
    # Metrics last: they say what became of the spans and log records.
    last = [shutdown for shutdown in shutdowns if isinstance(shutdown.provider, MeterProvider)]
    first = [shutdown for shutdown in shutdowns if shutdown not in last]
    timeout = _settings.exit_timeout()
    atexit.register(_shut_down, first, last, timeout)
    _multiprocessing.call_at_child_exit(_shut_down, first, last, timeout)


def _shut_down(first: Sequence[_Shutdown], last: Sequence[_Shutdown], timeout: float) -> None:
    start = time.monotonic()
    for shutdown in first:
        _until(start + (timeout / 2 if last else timeout), shutdown)
    for shutdown in last:
        _until(start + timeout, shutdown)


def _until(deadline: float, shutdown: _Shutdown) -> None:
    _notice.failed.clear()
    shutdown.begin()
    while shutdown.is_under_way(0.005) and time.monotonic() < deadline:
        if _notice.failed.is_set():
            _notice.failed.clear()
            deadline = min(deadline, time.monotonic() + _ONE_RETRY)
