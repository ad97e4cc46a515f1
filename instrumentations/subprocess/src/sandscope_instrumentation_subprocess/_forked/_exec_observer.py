"""A thread that finds the forked children which execute a program, so that their exit is observed from then on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from sandscope.instrumentation import new_lock, report_error

_INTERVALS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between two looks after a fork. Later, a child is found where the program waits, or sends a signal."""


class ExecObserver:
    """Looks for the programs that children execute, for some seconds after a fork."""

    def __init__(self, look: Callable[[], bool]) -> None:
        """Start no thread yet.

        Args:
            look: returns whether there is something left to look for.
        """
        self._look = look
        self._lock = new_lock()
        self._wanted = self._runs = False

    def start(self) -> None:
        """Look from now on."""
        with self._lock:
            self._wanted = True
            if self._runs:
                return
            self._runs = True
        thread = threading.Thread(target=self._run, name="sandscope-subprocess-exec", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there are too many threads, or the interpreter ends
            self._runs = False

    def _run(self) -> None:
        # The program's signals are for its own threads, which may block them or wait for them.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            while self._is_wanted():
                for interval in _INTERVALS:
                    time.sleep(interval)
                    if not self._look():
                        break
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.exec", error)

    def _is_wanted(self) -> bool:
        with self._lock:
            self._runs, self._wanted = self._wanted, False
            return self._runs
