"""The bound of the spool: what exceeds it, and what is too old, is dropped, the oldest first."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from sandscope._spool import _undelivered_records
from sandscope._spool._batch_file import Waiting, files_in, on_disk, records_in
from sandscope._spool._place import is_private
from sandscope._spool._taken import taken

MOST_AGE = 72 * 3600
"""Seconds after which nobody wants to know any more."""
_TORN_AGE = 600
"""Seconds after which a file that is not written to the end is that of a dead process."""
_FREE = 64 << 20
"""Bytes of the disk that are left to others."""
_RESCAN = 2.0
"""Seconds after which files of other processes are counted again."""


class Room:
    """The bytes that all processes may use together in a folder of the spool."""

    def __init__(self, base: Path, limit: int) -> None:
        """Count nothing yet.

        Args:
            base: the folder of the spool.
            limit: in bytes.
        """
        self._base, self._limit = base, limit
        self._used = self._scanned_at = 0.0
        self._unscanned = 0

    def make(self, size: int) -> None:
        """Make room for a new file, if it is necessary by dropping the oldest ones.

        Raises:
            OSError: if there is none: it is larger than the bound, or the disk is full.
        """
        size = on_disk(size)
        if size > self._limit:
            raise OSError(f"{size} bytes are more than the spool may hold")
        space = os.statvfs(self._base)
        if space.f_bavail * space.f_frsize < min(_FREE, space.f_blocks * space.f_frsize // 20) + size:
            raise OSError(28, "the disk is full", str(self._base))
        self._unscanned += size
        is_old = time.monotonic() > self._scanned_at + _RESCAN
        if is_old or self._unscanned > self._limit // 16 or self._used + size > self._limit:
            self._drop(self._limit - size)
            self._scanned_at, self._unscanned = time.monotonic(), 0
        self._used += size

    def _drop(self, limit: int) -> None:
        files = sorted(all_files(self._base), key=lambda file: file.name.written)
        used, now = sum(file.size for file in files), time.time()
        for file in files:
            age = now - file.name.written / 1e9
            if used <= limit and age <= (MOST_AGE if file.name.is_ready else _TORN_AGE):
                continue
            with taken(file.path) as is_mine:
                if is_mine:
                    _remove(file)
                if is_mine or not file.path.exists():
                    used -= file.size
        self._used = used


def _remove(file: Waiting) -> None:
    records = records_in(file.path)
    with suppress(OSError):  # another process has replaced it
        file.path.unlink()
        if file.name.is_ready:
            _undelivered_records.add(file.name.signal, "dropped", records)


def all_files(base: Path) -> list[Waiting]:
    """Return all files of the spool."""
    found: list[Waiting] = []
    with suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            folder = base / entry.name
            if is_private(folder):
                found += files_in(folder)
    return found
