"""One thread that observes the exits of children, and never reaps them."""

from __future__ import annotations

import _thread
import math
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue

from sandscope.instrumentation import report_error
from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._evidence import ExitStatus, exit_status_of, wait_without_reaping
from sandscope_instrumentation_subprocess._file_descriptors import open_pidfd
from sandscope_instrumentation_subprocess._waits._exit_events import OWN_DESCRIPTORS, ExitEvents

GRACE_PERIOD = 0.25
"""Seconds from a child's exit until its execution ends if nobody reaps it."""

_LATE = 0.02
"""Seconds by which the first reading of a child may be late rather than wake the thread up."""

_LINGER = 1.0
"""Seconds after the last child was added for which the thread wakes up by itself, that often."""

_MOST_READING, _REST = 0.002, 10
"""Seconds for which the thread reads at once, and how many times as long it then reads nothing: it must not delay the
program's own threads, however many children there are. Not CPU time: it takes longer while they need the interpreter.
"""

_SAMPLE_INTERVAL = 0.01
"""Seconds between two observations of a child with samples."""


class ExitWatcher:
    """Records the time at which children exit, and ends the executions of those that nobody waits for.

    No method takes a lock: some are called from ``Popen.__del__``, which any code may trigger.
    """

    def __init__(
        self, end_if_exited: Callable[[Child], None], is_registered: Callable[[Child], bool]
    ) -> None:
        """Start the thread; it has file descriptors from the first pidfd on.

        Args:
            end_if_exited: ends the execution of a child that has exited.
            is_registered: returns whether the execution of a child has not ended.

        Raises:
            OSError: if the system has no pidfds.
            RuntimeError: if no thread can be started any more.
        """
        os.close(os.pidfd_open(os.getpid()))
        self._end_if_exited, self._is_registered = end_if_exited, is_registered
        self._events: ExitEvents | None = None
        # Not an Event, which has a lock that a finalizer could wait for.
        self._woken = _thread.allocate_lock()
        self._woken.acquire()
        self._children: dict[int, Child] = {}
        self._pidfds: dict[Child, int] = {}
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._next_wake = math.inf
        self._lingers_until = self._rests_until = 0.0
        self._readings: list[tuple[float, int, Child]] = []
        self._order = count()
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        # Not a `Thread`, which could not find itself at its end if gevent has replaced `get_ident` in the meantime.
        _thread.start_new_thread(self._run, ())

    @property
    def has_ended(self) -> bool:
        """Whether the thread has ended."""
        return not self._ended.locked()

    def add(self, child: Child) -> None:
        """Watch a child from now on, unless the instrumentation has its share of file descriptors.

        Raises:
            OSError: if no descriptors are left.
        """
        if child in self._pidfds:
            return
        events = self._events or self._open()
        pidfd = open_pidfd(child.pid, OWN_DESCRIPTORS + len(self._pidfds))
        if pidfd is None:
            return
        child.pidfd = "native"
        self._children[pidfd] = child  # before it is registered: its exit may be reported at once
        try:
            events.register(pidfd)
        except OSError:
            del self._children[pidfd]
            os.close(pidfd)
            return
        self._pidfds[child] = pidfd  # not before: `remove` unregisters it
        self.read(child)

    def read(self, child: Child) -> None:
        """Read a child from time to time, until its execution ends."""
        if child.is_read:
            return
        child.is_read = True
        due = child.observed.due
        heappush(self._readings, (due, next(self._order), child))
        self._lingers_until = due + _LINGER
        if self._next_wake > due + _LATE:
            self._wake_up()

    def remove(self, child: Child) -> None:
        """Stop watching a child."""
        pidfd = self._pidfds.pop(child, None)
        if pidfd is not None:
            self._children.pop(pidfd, None)
            if self._events is not None and self._events.unregister(pidfd):
                os.close(pidfd)

    def release(self, child: Child) -> int | None:
        """Stop watching a child, and return its pidfd, which the caller has to close; None if there is none."""
        pidfd = self._pidfds.pop(child, None)
        if pidfd is None:
            return None
        self._children.pop(pidfd, None)
        return pidfd if self._events is not None and self._events.unregister(pidfd) else None

    def lost_status(self, child: Child) -> ExitStatus | None:
        """Return how a child ended that other code has reaped, if the kernel still says it."""
        pidfd = self._pidfds.get(child)
        return None if pidfd is None else exit_status_of(pidfd)

    def submit(self, task: Callable[[], None]) -> None:
        """Call something on the watcher's thread, soon."""
        if self.has_ended:
            task()
            return
        self._tasks.put(task)
        self._wake_up()

    def submit_later(self, task: Callable[[], None]) -> None:
        """Call something on the watcher's thread after `GRACE_PERIOD`, or when the watcher is closed."""
        self.submit(partial(self._postpone, task))

    def close(self) -> None:
        """End the thread once it has done all submitted tasks, and close the file descriptors."""
        self._tasks.put(None)
        self._wake_up()
        if self._ended.acquire(timeout=1):
            self._ended.release()
        while self._due:
            self._due.pop(0)[1]()
        for child in list(self._pidfds):
            self.remove(child)
        if self._events is not None:
            self._events.close()

    def abandon(self) -> None:
        """Close the file descriptors in a forked process, which has neither the thread nor the children."""
        if self._events is not None:
            self._events.abandon(self._children)

    def _open(self) -> ExitEvents:
        events = self._events = ExitEvents()
        self._wake_up()  # it waits for the lock only
        return events

    def _postpone(self, task: Callable[[], None]) -> None:
        self._due.append((time.monotonic() + GRACE_PERIOD, task))

    def _wake_up(self) -> None:
        with suppress(RuntimeError):  # it is awake already
            self._woken.release()
        if self._events is not None:  # not before: the thread waits for the one or the other
            self._events.wake_up()

    def _wait(self) -> Iterable[int]:
        """Wait until there is something to do, and return the pidfds of the children that have exited."""
        timeout = self._timeout()
        if self._events is not None:
            return self._events.wait(timeout)
        self._woken.acquire(timeout=-1 if timeout is None else timeout)
        return ()

    def _run(self) -> None:
        # The program's signals are for its own threads, which may block them or wait for them.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            while self._run_once():
                pass
        except (OSError, ValueError) as error:
            report_error("subprocess.watcher", error)
        finally:
            self._ended.release()

    def _run_once(self) -> bool:
        """Wait for events and handle them; return whether to go on."""
        for pidfd in self._wait():
            self._on_exit(pidfd)
        self._observe()
        self._run_due()
        return self._run_tasks()

    def _timeout(self) -> float | None:
        self._next_wake = math.inf  # whoever adds a child in the meantime wakes the thread up
        now = time.monotonic()
        while self._readings and not self._runs(self._readings[0][2]):
            heappop(self._readings)
        due = [self._due[0][0]] if self._due else []
        if self._readings:
            due.append(max(self._readings[0][0], self._rests_until))
        if self._lingers_until > now:
            due.append(now + _LATE)
        self._next_wake = min(due, default=math.inf)
        return max(0.0, self._next_wake - now) if due else None

    def _on_exit(self, pidfd: int) -> None:
        child = self._children.get(pidfd)
        if child is None:
            return
        try:
            if wait_without_reaping(child.pid, os.WNOHANG) is None:
                return  # the event is about an earlier child whose pidfd had the same number
        except ChildProcessError:
            pass  # it has been reaped already
        child.mark_exited()
        self._postpone(partial(self._end_if_exited, child))

    def _observe(self) -> None:
        now = started = time.monotonic()
        if now < self._rests_until:
            return
        while self._readings and self._readings[0][0] <= now < started + _MOST_READING:
            child = heappop(self._readings)[2]
            if not self._runs(child):
                continue
            if child.observed.due <= now:
                child.observed.take(child.pid)
            due = child.observed.due
            if child.samples is not None:
                child.samples.take(child.pid)
                due = min(due, now + _SAMPLE_INTERVAL)
            self._read_at(due, child)
            now = time.monotonic()
        self._rests_until = now + _REST * (now - started)

    def _runs(self, child: Child) -> bool:
        return child.exit_time is None and self._is_registered(child)

    def _read_at(self, due: float, child: Child) -> None:
        heappush(self._readings, (due, next(self._order), child))

    def _run_due(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            self._due.pop(0)[1]()

    def _run_tasks(self) -> bool:
        """Run what was submitted; return False once the watcher is closed."""
        while True:
            try:
                task = self._tasks.get_nowait()
            except Empty:
                return True
            if task is None:
                return False
            task()
