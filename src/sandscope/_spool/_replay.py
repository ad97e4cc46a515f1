"""Sends what waits in a folder of the spool, the oldest first, in one process at a time."""

from __future__ import annotations

import enum
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandscope._internals import Answer
from sandscope._spool import _batch_file, _undelivered_records
from sandscope._spool._batch_file import Waiting
from sandscope._spool._taken import taken
from sandscope._spool._undelivered_records import Signal

_LOCK = ".lock"

own_last: set[Path] = set()
"""The files that this process replaces with each export: it sends the metrics itself."""
_taken: set[Path] = set()
"""The folders that this process has locked: a lock does not exclude its other threads."""
_unreadable: set[Path] = set()


class End(enum.Enum):
    """Why sending has ended."""

    ALL_SENT = enum.auto()
    AWAY = enum.auto()
    """The endpoint does not answer, or not yet."""
    TAKEN = enum.auto()
    """Another process sends what is in the folder."""
    STOPPED = enum.auto()


def waiting_in(folder: Path) -> list[Waiting]:
    """Return the files that can be sent, the oldest first."""
    files = (
        file for file in _batch_file.files_in(folder) if file.name.is_ready and file.path not in _unreadable
    )
    return sorted((file for file in files if not _is_replaced(file)), key=lambda file: file.name.written)


def replay(
    folder: Path,
    signal: Signal,
    post: Callable[[bytes], Answer],
    has_to_stop: Callable[[float], bool] = lambda _seconds: False,
) -> End:
    """Send what waits in a folder. What has been acknowledged, or is rejected for good, is removed.

    Args:
        folder: the folder.
        signal: of its requests.
        post: sends a request once.
        has_to_stop: called with the seconds that a request has taken, after each.
    """
    with _claimed(folder) as is_claimed:
        if not is_claimed:
            return End.TAKEN
        for file in waiting_in(folder):
            begun = time.monotonic()
            with taken(file.path) as is_mine:  # if not, it has been dropped
                if is_mine and not _send(file.path, signal, post):
                    return End.AWAY
            if has_to_stop(time.monotonic() - begun):
                return End.STOPPED
        _remove_if_empty(folder)
    return End.ALL_SENT


def _send(path: Path, signal: Signal, post: Callable[[bytes], Answer]) -> bool:
    """Send a file, and remove it. Return False if the endpoint does not take it now."""
    try:
        found = _batch_file.read(path)
    except FileNotFoundError:  # of a process that has replaced it
        return True
    except OSError:
        found = None
    if found is None:
        _unreadable.add(path)
        _undelivered_records.add(signal, "unreadable", 1)
        return True
    request, records = found
    answer = post(request)
    if answer.status is None or not answer.is_final:
        return False
    with suppress(OSError):
        path.unlink()
    _undelivered_records.add(signal, "delivered" if answer.is_success else "rejected", records)
    return True


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Lock a folder. Yields whether it is locked; the kernel unlocks it if this process dies.

    A forked child does not inherit the lock.
    """
    if folder in _taken:
        yield False
        return
    try:
        descriptor = os.open(
            folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600
        )
    except OSError:
        yield False
        return
    _taken.add(folder)
    try:
        yield _lock(descriptor, folder / _LOCK)
    finally:
        _taken.discard(folder)
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(
            os.fstat(descriptor), path.stat()
        )  # otherwise, another process has removed it
    except OSError:
        return False


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder in which nothing is but its lock."""
    with suppress(OSError):
        if [entry.name for entry in os.scandir(folder)] == [_LOCK]:
            (folder / _LOCK).unlink()
            folder.rmdir()


def _is_replaced(file: Waiting) -> bool:
    """Return whether the process that has written a file lives, and replaces it."""
    if not file.name.is_last:
        return False
    if file.name.pid == os.getpid():
        return file.path in own_last  # if not, of an earlier process with the same number
    try:
        os.kill(file.name.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


for _each in (own_last, _taken):
    os.register_at_fork(after_in_child=_each.clear)
