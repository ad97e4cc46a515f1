"""A file system that is soon full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """Mount a file system in memory for the duration of a `with` block. Skips the test if this is not possible.

    Args:
        path: where; created.
        size: as `mount` takes it, such as ``200k``.
    """
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    try:
        is_mounted = not subprocess.run(mount, capture_output=True, check=False).returncode
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("A small file system cannot be mounted here: run this test as root.")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=False)
