"""Finds the black boxes of dead processes, and takes each of them for one reader only."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandscope._deferred._box_file import SUFFIX, own_files, this_process
from sandscope._deferred._box_layout import SENT_AT, SIZE, VERSION, Owner, owner_of
from sandscope._process_start import start_of

OF_RUN = "run-"
"""The beginning of the name of a folder that one ``sandscope run`` makes."""


class DeadFile:
    """A file of a dead process that this reader has taken.

    Attributes:
        content: all of it.
    """

    def __init__(self, descriptor: int, content: bytes) -> None:
        self._descriptor = descriptor
        self.content = content

    @property
    def sent(self) -> int:
        """Which parts have been sent, as bits; see `note_sent`."""
        return self.content[SENT_AT]

    @property
    def tries(self) -> int:
        """How often a reader has tried to send them."""
        return self.content[SENT_AT + 1]

    def note_sent(self, sent: int, tries: int) -> None:
        """Write into the file what has been sent, so that the next reader does not send it again."""
        os.pwrite(self._descriptor, bytes((sent, min(tries, 255))), SENT_AT)


def files_in(folder: Path) -> list[Path]:
    """Return the black boxes in a folder, and in the folders of ``sandscope run`` in it, the oldest first."""
    found: list[tuple[int, Path]] = []
    for pattern in (f"*{SUFFIX}", f"{OF_RUN}*/*{SUFFIX}"):
        for path in folder.glob(pattern):
            with suppress(OSError):  # another reader has removed it
                found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


@contextmanager
def taken(path: Path) -> Iterator[DeadFile | None]:
    """Yield a file while no other reader can take it; None if its process lives, or if it is not to be read.

    What is not a black box, or is one of another version of Sandscope, stays as it is.
    """
    if path.name in own_files:  # to open and close it would release its lock
        yield None
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield _take(descriptor, path)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> DeadFile | None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        if not os.path.samestat(status, path.stat()) or status.st_uid != os.geteuid():
            return None  # another reader has removed it
        content = os.pread(descriptor, SIZE, 0)
    except OSError:  # its process has locked it, or another reader
        return None
    owner = owner_of(content)
    if status.st_size != SIZE or owner is None or owner[0] != VERSION or _lives(owner[1]):
        return None
    return DeadFile(descriptor, content)


def _lives(owner: Owner) -> bool:
    """Return whether a process lives that has lost its lock, because it has closed all files."""
    me = this_process()
    if owner.boot != me.boot or owner.namespace != me.namespace:
        return False  # of another namespace, only the lock tells
    if owner.pid == me.pid:
        return False  # it executed this program
    try:
        return start_of(owner.pid) == owner.start
    except OSError:
        return False
