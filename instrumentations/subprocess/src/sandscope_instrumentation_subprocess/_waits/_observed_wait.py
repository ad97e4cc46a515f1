"""Waiting for a child on the program's own thread, which also reads it if the watcher does not."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._evidence import ExitStatus, exit_status_of, wait_without_reaping
from sandscope_instrumentation_subprocess._file_descriptors import close_if_still, open_pidfd

_open: set[int] = set()


def wait_observed(
    child: Child, release: Callable[[Child], int | None], *, is_read: bool
) -> ExitStatus | None:
    """Wait for a child's exit, observe it until then, and leave it as a zombie.

    Args:
        child: to wait for.
        release: returns the pidfd by which the child was observed until now, or None.
        is_read: whether the watcher reads the child meanwhile.

    Raises:
        ChildProcessError: if it has been reaped already.
    """
    pidfd = release(child)
    if pidfd is None and is_read:
        return wait_without_reaping(child.pid)
    if pidfd is None:
        pidfd = open_pidfd(child.pid, len(_open))
    if pidfd is None:
        child.pidfd = child.pidfd or "fallback"
        return wait_without_reaping(child.pid)
    _open.add(pidfd)
    child.pidfd = child.pidfd or "native"
    try:
        if not is_read:
            _read_until_exit(child, pidfd)
        try:
            return wait_without_reaping(child.pid)
        except ChildProcessError:
            child.lost_status = exit_status_of(pidfd)
            raise
    finally:
        _open.discard(pidfd)
        try:  # noqa: SIM105 -- `suppress` is slow, and the program waits for this
            os.close(pidfd)
        except OSError:
            pass  # the program has closed it


def _read_until_exit(child: Child, pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    observed = child.observed
    while not poll.poll(max(0.0, observed.due - time.monotonic()) * 1000):
        observed.take(child.pid)


def after_fork_in_child() -> None:
    """Close the file descriptors of threads that wait in the parent."""
    for pidfd in _open:
        close_if_still("pidfd", pidfd)
    _open.clear()
