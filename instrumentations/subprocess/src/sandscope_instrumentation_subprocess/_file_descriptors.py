"""The instrumentation's own file descriptors: how they avoid conflicts with those of the program."""

from __future__ import annotations

import fcntl
import os
import resource
from contextlib import suppress

_SELECT_LIMIT = 1024
"""``select()`` takes descriptors below this number. No higher than needed: each fork copies the table up to the
highest number.
"""


def may_open(held: int) -> bool:
    """Return whether the instrumentation may open one more file descriptor: it takes a quarter of the limit at most.

    Args:
        held: the number of its descriptors.
    """
    limit = _limit()
    return limit is None or held < limit // 4


def move_up(descriptor: int) -> int:
    """Replace a file descriptor by a duplicate in the top quarter of the numbers, or where ``select()`` ends.

    Args:
        descriptor: is closed in any case.

    Returns:
        The new descriptor. The program's descriptors get the numbers that they would get without instrumentation.

    Raises:
        OSError: if no such number is free.
    """
    return _move_up(descriptor, _limit())


def open_pidfd(pid: int, held: int) -> int | None:
    """Open a pidfd if the instrumentation may; returns None if not, or if the system has none.

    Args:
        pid: of a child.
        held: the number of descriptors that the instrumentation has.
    """
    limit = _limit()
    if limit is not None and held >= limit // 4:
        return None
    try:
        return _move_up(os.pidfd_open(pid), limit)
    except (AttributeError, OSError):
        return None


def _move_up(descriptor: int, limit: int | None) -> int:
    lowest = _SELECT_LIMIT if limit is None else min(limit - limit // 4, _SELECT_LIMIT)
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    finally:
        os.close(descriptor)


def _limit() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def close_if_still(kind: str, descriptor: int) -> None:
    """Close a descriptor, unless the program has closed it and reused its number.

    Args:
        kind: the word in the target of its link in ``/proc``, such as "pidfd".
        descriptor: the number to close.
    """
    with suppress(OSError):
        if kind in os.readlink(f"/proc/self/fd/{descriptor}"):  # noqa: PTH115 -- a magic link, not a path
            os.close(descriptor)
