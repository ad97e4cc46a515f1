"""Who may send or drop a file of the spool."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Lock a file for the duration of a ``with`` block: what is being sent is not dropped, and counted as lost.

    Yields whether nobody else sends or drops it now, or has. If the file system has no locks, nobody does.
    """
    descriptor = None
    try:
        # For writing as well: NFS locks no file that is only read.
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_mine = os.fstat(descriptor).st_nlink > 0
    except (FileNotFoundError, BlockingIOError):
        is_mine = False
    except OSError:
        is_mine = True
    try:
        yield is_mine
    finally:
        if descriptor is not None:
            with suppress(OSError):  # a child that was forked meanwhile has it open as well
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
