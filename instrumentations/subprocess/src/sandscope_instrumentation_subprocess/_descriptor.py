"""File descriptors of our own that stay out of the program's way."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from contextlib import suppress

_LOWEST = 64
_SPARED = 32


def move_up(number: int) -> int:
    """Replace a descriptor by one with a number that programs do not count on.

    Args:
        number: a descriptor that is closed in any case.

    Returns:
        The new number: not one of the lowest, so that the program's own get the numbers they would get
        without us, and not one of the last that the program may have.

    Raises:
        OSError: if no such number is free.
    """
    try:
        moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _LOWEST)
    finally:
        os.close(number)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed != resource.RLIM_INFINITY and moved > allowed - _SPARED:
        os.close(moved)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return moved


def close_if(kind: str, number: int) -> None:
    """Close a descriptor of ours, unless the program closed it and gave its number to something else.

    Args:
        kind: what the system calls the likes of it, as "pidfd".
        number: what it had when it was ours.
    """
    with suppress(OSError):
        if kind in os.readlink(f"/proc/self/fd/{number}"):  # noqa: PTH115 -- a magic link, not a path
            os.close(number)
