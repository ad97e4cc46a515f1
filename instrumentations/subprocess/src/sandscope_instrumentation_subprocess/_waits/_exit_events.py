"""The exits of children, as pidfds tell them to the thread that waits for them."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterable

from sandscope.instrumentation import report_error
from sandscope_instrumentation_subprocess._file_descriptors import close_if_still, may_open, move_up

OWN_DESCRIPTORS = 2
"""One of the epoll instance, and one to wake the thread up."""


class ExitEvents:
    """An epoll instance with the pidfds of children, and the descriptor that wakes up the thread which waits for it."""

    def __init__(self) -> None:
        """Open the file descriptors.

        Raises:
            OSError: if no descriptors are left.
        """
        if not may_open(OWN_DESCRIPTORS):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self._epoll = select.epoll.fromfd(move_up(_detach(select.epoll())))
        self._wake_descriptor = move_up(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        self._epoll.register(self._wake_descriptor, select.EPOLLIN)

    def register(self, pidfd: int) -> None:
        """Report the exit of a process, once.

        Raises:
            OSError: if that is not possible.
        """
        self._epoll.register(pidfd, select.EPOLLIN | select.EPOLLONESHOT)

    def unregister(self, descriptor: int) -> bool:
        """Undo `register`; return False if the program has closed the descriptor, and may have reused its number."""
        try:
            self._epoll.unregister(descriptor)
        except (OSError, ValueError):
            return False
        return True

    def wait(self, timeout: float | None) -> list[int]:
        """Wait until processes exit, or `wake_up` is called, and return the pidfds of those processes.

        Args:
            timeout: the most seconds that this takes.
        """
        found = [descriptor for descriptor, _ in self._epoll.poll(timeout)]
        if self._wake_descriptor in found:
            os.eventfd_read(self._wake_descriptor)
            found.remove(self._wake_descriptor)
        return found

    def wake_up(self) -> None:
        """Have `wait` return."""
        try:
            os.eventfd_write(self._wake_descriptor, 1)
        except OSError as error:
            report_error("subprocess.watcher", error)

    def close(self) -> None:
        """Close the instrumentation's own descriptors."""
        if self.unregister(self._wake_descriptor):
            os.close(self._wake_descriptor)
        self._epoll.close()

    def abandon(self, pidfds: Iterable[int]) -> None:
        """Close the file descriptors in a forked process."""
        # The parent still uses the same epoll instance: nothing may be unregistered from it.
        self._epoll.close()
        close_if_still("eventfd", self._wake_descriptor)
        for pidfd in pidfds:
            close_if_still("pidfd", pidfd)


def _detach(epoll: select.epoll) -> int:
    """Return a file descriptor of an epoll object that no longer depends on that object."""
    descriptor = os.dup(epoll.fileno())
    epoll.close()
    return descriptor
