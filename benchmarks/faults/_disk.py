"""A file system of a few MiB for the spool, which can be filled."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = 4 << 20
"""Bytes."""


class Disk:
    """The file system.

    Attributes:
        path: where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        """Take over what is mounted."""
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave no byte free, as a log file that grows does."""
        try:
            with self._ballast.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def free(self) -> None:
        """Remove what has filled it."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path) -> Iterator[Disk | None]:
    """Mount a small file system in memory for the duration of a `with` block. Yields None if this is not possible.

    Args:
        path: where; created.
    """
    path.mkdir(parents=True)
    try:
        command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(path)]
        is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    try:
        yield Disk(path) if is_mounted else None
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)
