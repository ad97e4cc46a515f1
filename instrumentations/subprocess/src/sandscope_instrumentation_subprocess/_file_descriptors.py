"""The instrumentation's own file descriptors: how they avoid conflicts with those of the program."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from contextlib import suppress

_LOWEST_NUMBER = 64
_RESERVED_FOR_PROGRAM = 32


def move_up(descriptor: int) -> int:
    """Replace a file descriptor by a duplicate with a high number.

    Args:
        descriptor: is closed in any case.

    Returns:
        The new descriptor. It is not among the lowest numbers, so the program's descriptors get the numbers
        that they would get without instrumentation, and not among the last ones that the limit allows.

    Raises:
        OSError: if no such number is free.
    """
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _LOWEST_NUMBER)
    finally:
        os.close(descriptor)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and moved > limit - _RESERVED_FOR_PROGRAM:
        os.close(moved)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return moved


def close_if_still(kind: str, descriptor: int) -> None:
    """Close a descriptor, unless the program has closed it and reused its number.

    Args:
        kind: the word in the target of its link in ``/proc``, such as "pidfd".
        descriptor: the number to close.
    """
    with suppress(OSError):
        if kind in os.readlink(f"/proc/self/fd/{descriptor}"):  # noqa: PTH115 -- a magic link, not a path
            os.close(descriptor)
