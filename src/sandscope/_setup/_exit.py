"""Exports remaining telemetry when the program exits, within a time limit."""

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
"""The time in seconds for one retry of an exporter that has failed."""
_NO_THREADS_AT_EXIT = (3, 12) <= sys.version_info < (3, 12, 2)
"""Whether this version of Python cannot start threads during interpreter shutdown."""


class _Shutdown:
    """The shutdown of one provider, on a separate thread."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        self._begun_in_pid = 0
        self._begin_event = threading.Event()
        self._thread = self._start() if _NO_THREADS_AT_EXIT else None

    def begin(self) -> None:
        """Start the shutdown. Has no effect if called again in the same process, as children of multiprocessing do."""
        if self._begun_in_pid == os.getpid():
            return
        self._begun_in_pid = os.getpid()
        self._begin_event.set()
        if self._thread is None:
            # Not created earlier: in a forked child, existing threads count as stopped, even if they were not started.
            self._thread = self._start()
        elif not self._thread.is_alive():  # this is a forked child, without the parent's thread
            self._run()

    def is_running(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds, and return whether the shutdown is still running."""
        if self._thread is None:
            return False
        self._thread.join(timeout)
        return self._thread.is_alive()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="sandscope-exit", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        self._begin_event.wait()
        try:
            self.provider.shutdown()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("exit", error)


def shut_down_at_exit(providers: Sequence[Any]) -> None:
    """Shut down providers one after the other at interpreter exit. Does not wait beyond the exit timeout.

    Args:
        providers: SDK providers. Their own exit handlers, which wait up to 30 s each, are unregistered.
    """
    for provider in providers:
        atexit.unregister(provider.shutdown)
    shutdowns = [_Shutdown(provider) for provider in providers]
    # Metrics last: they include the export outcomes of spans and log records.
    last = [shutdown for shutdown in shutdowns if isinstance(shutdown.provider, MeterProvider)]
    first = [shutdown for shutdown in shutdowns if shutdown not in last]
    timeout = _settings.exit_timeout()
    atexit.register(_shut_down, first, last, timeout)
    _multiprocessing.call_at_child_exit(_shut_down, first, last, timeout)


def _shut_down(first: Sequence[_Shutdown], last: Sequence[_Shutdown], timeout: float) -> None:
    start = time.monotonic()
    for shutdown in first:
        _run_until(start + (timeout / 2 if last else timeout), shutdown)
    for shutdown in last:
        _run_until(start + timeout, shutdown)


def _run_until(deadline: float, shutdown: _Shutdown) -> None:
    _notice.failed.clear()
    shutdown.begin()
    while shutdown.is_running(0.005) and time.monotonic() < deadline:
        if _notice.failed.is_set():
            _notice.failed.clear()
            deadline = min(deadline, time.monotonic() + _ONE_RETRY)
