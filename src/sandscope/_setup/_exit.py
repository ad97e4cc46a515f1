"""Exports remaining telemetry when the program exits, within a time limit."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from sandscope import _guard, _settings
from sandscope._own_process import _at_exit
from sandscope._relay import _relay_choice as relay
from sandscope._setup import _multiprocessing, _notice, _recorder_setup, _spool_setup, _sudden_exit

_ONE_RETRY = 1.5
"""The time in seconds for one retry of an exporter that has failed."""
_RECENT = 10.0
"""Seconds during which a failed export, before the exit, means that another thread may still be trying it again."""
_SILENT = 1.0
"""Seconds to wait before the program's user is told what for."""
_NO_THREADS_AT_EXIT = (3, 12) <= sys.version_info < (3, 12, 2)
"""Whether this version of Python cannot start threads during interpreter shutdown."""


class _Shutdown:
    """The shutdown of one provider, on a separate thread."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        self.signal = _notice.signal_of(provider)
        self.deadline = 0.0
        self._begun_in_pid = 0
        self._begin_event = threading.Event()
        self._thread = self._start() if _NO_THREADS_AT_EXIT else None

    def begin(self, deadline: float) -> None:
        """Start the shutdown. Has no effect if called again in the same process, as children of multiprocessing do."""
        self.deadline = deadline
        if self._begun_in_pid == os.getpid():
            return
        self._begun_in_pid = os.getpid()
        self._begin_event.set()
        if self._thread is None:
            # Not created earlier: in a forked child, existing threads count as stopped, even if they were not started.
            self._thread = self._start()
        elif not self._thread.is_alive():  # this is a forked child, without the parent's thread
            self._run()

    def is_running(self, timeout: float = 0) -> bool:
        """Wait up to ``timeout`` seconds, and return whether the shutdown is still running, before its deadline."""
        if self._thread is None or time.monotonic() >= self.deadline:
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
    """Shut down providers at interpreter exit. Does not wait beyond the exit timeout.

    Args:
        providers: SDK providers. Their own exit handlers, which wait up to 30 s each, are unregistered.
    """
    for provider in providers:
        atexit.unregister(provider.shutdown)
    shutdowns = [_Shutdown(provider) for provider in providers]
    # Metrics last: they include the export outcomes of spans and log records.
    last = [shutdown for shutdown in shutdowns if shutdown.signal == "metrics"]
    first = [shutdown for shutdown in shutdowns if shutdown not in last]
    timeout = _settings.exit_timeout()
    _at_exit.call_at_exit(partial(_shut_down, first, last, timeout))
    _multiprocessing.call_at_child_exit(_shut_down, first, last, timeout)
    _sudden_exit.flush_before(providers, timeout)


def _shut_down(first: Sequence[_Shutdown], last: Sequence[_Shutdown], timeout: float) -> None:
    _sudden_exit.cancel()
    end = time.monotonic() + timeout
    relay.flush(timeout / 4)
    _spool_setup.begin_end()
    _run_until(end - timeout / 2 if last else end, first, end)
    _recorder_setup.give_up()
    _run_until(end, last, end)
    _spool_setup.finish(end)
    _recorder_setup.remove_black_box()


def _run_until(deadline: float, shutdowns: Sequence[_Shutdown], end: float) -> None:
    """Run shutdowns at the same time, so that an endpoint that does not answer delays only its own signal."""
    begun = time.monotonic()
    for shutdown in shutdowns:
        shutdown.begin(deadline)
    while running := [shutdown for shutdown in shutdowns if shutdown.is_running()]:
        now = time.monotonic()
        for shutdown in running:
            failed_at = _notice.failed_at(shutdown.signal)
            if failed_at > begun - _RECENT:
                shutdown.deadline = min(shutdown.deadline, max(begun, failed_at) + _ONE_RETRY)
        if now - begun > _SILENT:
            _notice.tell_waiting([shutdown.signal for shutdown in running], end - now)
        running[0].is_running(0.005)
