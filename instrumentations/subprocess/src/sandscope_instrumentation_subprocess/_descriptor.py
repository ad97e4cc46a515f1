"""File descriptors of our own that stay out of the program's way."""

from __future__ import annotations

import errno
import fcntl
import os
import resource

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


class Descriptor:
    """A descriptor that is closed only while it is still ours: programs close what they did not open."""

    __slots__ = ("_identity", "number")

    def __init__(self, number: int) -> None:
        self.number = move_up(number)
        self._identity = _identity(self.number)

    def close(self) -> None:
        """Close it, unless the program closed it or gave its number to something else."""
        try:
            if _identity(self.number) == self._identity:
                os.close(self.number)
        except OSError:
            pass


def _identity(number: int) -> tuple[int, int]:
    status = os.fstat(number)
    return status.st_dev, status.st_ino
