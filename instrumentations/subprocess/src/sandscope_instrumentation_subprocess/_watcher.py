"""One thread that sees children exit, and never reaps."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from sandscope.instrumentation import report_error
from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._descriptor import close_if, move_up
from sandscope_instrumentation_subprocess._evidence import ending_of_zombie, memory_peak

GRACE = 0.25
"""Seconds between a child's exit and the end of its execution if nobody reaps it."""

_SAMPLE_INTERVAL = 0.01


class Watcher:
    """Stamps the time at which children exit, and ends those that nobody waits for.

    No method takes a lock: some are called from ``Popen.__del__``, that is from anywhere.
    """

    def __init__(self, settle: Callable[[Child], None]) -> None:
        """Open what the thread waits on; it starts with the first child.

        Args:
            settle: ends the execution of a child that has exited.

        Raises:
            OSError: if the system has no pidfds or no descriptors left.
        """
        os.close(os.pidfd_open(os.getpid()))
        self._settle = settle
        self._epoll = select.epoll.fromfd(move_up(_released(select.epoll())))
        self._wake = move_up(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        self._epoll.register(self._wake, select.EPOLLIN)
        self._children: dict[int, Child] = {}
        self._pidfds: dict[Child, int] = {}
        self._exited: list[tuple[float, Child]] = []
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, child: Child) -> None:
        """Watch a child from now on; does nothing where descriptors are short."""
        if child in self._pidfds:
            return
        try:
            pidfd = move_up(os.pidfd_open(child.pid))
        except OSError:
            return
        self._children[pidfd] = child
        self._pidfds[child] = pidfd
        try:
            self._epoll.register(pidfd, select.EPOLLIN | select.EPOLLONESHOT)
        except OSError:
            del self._children[pidfd], self._pidfds[child]
            os.close(pidfd)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sandscope-subprocess", daemon=True)
            self._thread.start()
        elif child.memory_limit is not None:
            self._wake_up()

    def forget(self, child: Child) -> None:
        """Stop watching a child."""
        pidfd = self._pidfds.pop(child, None)
        if pidfd is not None:
            self._children.pop(pidfd, None)
            self._close(pidfd)

    def submit(self, work: Callable[[], None]) -> None:
        """Run something on the watcher's thread, soon."""
        if self._thread is None or not self._thread.is_alive():
            work()
            return
        self._work.put(work)
        self._wake_up()

    def close(self) -> None:
        """End the thread after all that was submitted, and close what it waited on."""
        if self._thread is not None:
            self._work.put(None)
            self._wake_up()
            self._thread.join(timeout=1)
        for child in list(self._pidfds):
            self.forget(child)
        self._close(self._wake)
        self._epoll.close()

    def abandon(self) -> None:
        """Close everything, in a forked child: it has no such thread, and no such children."""
        # The epoll is still the parent's as well: nothing may be taken out of it.
        self._epoll.close()
        close_if("eventfd", self._wake)
        for pidfd in self._children:
            close_if("pidfd", pidfd)

    def _close(self, number: int) -> None:
        try:
            self._epoll.unregister(number)
        except (OSError, ValueError):
            return  # not ours any more: the program closed it, and may have opened something else
        os.close(number)

    def _wake_up(self) -> None:
        try:
            os.eventfd_write(self._wake, 1)
        except OSError as error:
            report_error("subprocess.watcher", error)

    def _run(self) -> None:
        # A signal that the program blocks in its own threads must not end up here.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            while self._turn():
                pass
        except (OSError, ValueError) as error:
            report_error("subprocess.watcher", error)

    def _turn(self) -> bool:
        events = self._epoll.poll(self._timeout())
        for number, _ in events:
            if number == self._wake:
                os.eventfd_read(number)
            else:
                self._saw(number)
        self._sample()
        self._settle_overdue()
        return self._do_work()

    def _timeout(self) -> float | None:
        deadlines = [deadline - time.monotonic() for deadline, _ in self._exited[:1]]
        if self._limited():
            deadlines.append(_SAMPLE_INTERVAL)
        return max(0.0, min(deadlines)) if deadlines else None

    def _saw(self, number: int) -> None:
        child = self._children.get(number)
        if child is None:
            return
        try:
            if ending_of_zombie(child.pid, os.WNOHANG) is None:
                return  # the event is an older child's whose number this one got
        except ChildProcessError:
            pass  # others have reaped it
        child.saw_exit()
        self._exited.append((time.monotonic() + GRACE, child))

    def _sample(self) -> None:
        for child in self._limited():
            child.memory_peak = memory_peak(child.pid) or child.memory_peak

    def _limited(self) -> list[Child]:
        children = list(self._children.values())
        return [child for child in children if child.memory_limit is not None and child.exit_time is None]

    def _settle_overdue(self) -> None:
        while self._exited and self._exited[0][0] <= time.monotonic():
            self._settle(self._exited.pop(0)[1])

    def _do_work(self) -> bool:
        while True:
            try:
                work = self._work.get_nowait()
            except Empty:
                return True
            if work is None:
                return False
            work()


def _released(epoll: select.epoll) -> int:
    number = os.dup(epoll.fileno())
    epoll.close()
    return number
