"""A background thread that does one kind of work whenever there is some."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sandscope import _guard


class Worker:
    """Calls a function on a thread of its own, which starts with the first work; in a forked child, again.

    Attributes:
        is_running: whether the thread has been started in this process, and has not ended.
    """

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        """Create the worker.

        Args:
            name: the thread's name.
            work: the function. Errors are reported, and the thread continues.
        """
        self._name, self._work = name, work
        self._due, self._closing = threading.Event(), threading.Event()
        self.is_running = False

    def wake(self) -> bool:
        """Call the function soon. Returns False if no thread can be started."""
        self._due.set()
        return self.start()

    def start(self) -> bool:
        """Start the thread, if it does not run. Returns False if it cannot be started."""
        if self.is_running or self._closing.is_set():
            return True
        self.is_running = True
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError as error:  # too many threads, or interpreter shutdown
            self.is_running = False
            _guard.report("recorder.thread", error)
        return self.is_running

    def wait(self, seconds: float) -> bool:
        """Pause the work, and return whether the worker is closing. Does not wait any longer then."""
        return self._closing.wait(seconds)

    def close(self) -> None:
        """End the thread after the call that is running."""
        self._closing.set()
        self._due.set()

    def after_fork_in_child(self) -> None:
        """Forget the parent's thread."""
        self._due, self.is_running = threading.Event(), False
        if not self._closing.is_set():
            self._closing = threading.Event()

    def _run(self) -> None:
        due = self._due
        try:
            while due.wait() and not self._closing.is_set():
                due.clear()
                try:
                    self._work()
                except Exception as error:  # noqa: BLE001 -- the thread must keep running
                    _guard.report("recorder.work", error)
        finally:
            if due is self._due:  # not in a forked child, which has a thread of its own
                self.is_running = False
