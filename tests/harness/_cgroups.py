"""Cgroups with limits, where the machine lets a test make some.

A test that reaches a limit first checks that the limit holds: else it would use up the machine.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandscope_instrumentation_subprocess._evidence._cgroup import locate, read_membership


@contextmanager
def limited_memory(limit: int) -> Iterator[Path]:
    """Yield the folder of a new cgroup with a limit of memory; skip the test if the limit does not take hold.

    Args:
        limit: in bytes.
    """
    folder = _make("memory")
    try:
        _limit(folder, ("memory.max", "memory.limit_in_bytes"), limit)
        if not _swap_is_limited(folder):
            pytest.skip("what does not fit would be swapped out")
        if (folder / "memory.swap.max").exists():
            (folder / "memory.swap.max").write_text("0")
        _check_that_children_get_in(folder)
        yield folder
    finally:
        folder.rmdir()


@contextmanager
def limited_processes(limit: int) -> Iterator[Path]:
    """Yield the folder of a new cgroup with a limit of processes; skip the test if the limit does not take hold."""
    folder = _make("pids")
    try:
        _limit(folder, ("pids.max",), limit)
        _check_that_children_get_in(folder)
        yield folder
    finally:
        folder.rmdir()


def entering(folder: Path) -> Callable[[], None]:
    """Return a ``preexec_fn`` by which a child moves itself into a cgroup."""

    def enter() -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))

    return enter


def _make(controller: str) -> Path:
    """Make a cgroup below that of this process, or below the root, and return its folder."""
    folder = getattr(locate(read_membership("self") or b"0::/\n"), controller)
    top = Path(folder or f"/sys/fs/cgroup/{controller}")
    made = top / f"sandscope-{uuid.uuid4().hex[:12]}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a cgroup below {top}: {error.strerror}; the tests of a fake tree remain")
    return made


def _limit(folder: Path, names: tuple[str, ...], value: int) -> None:
    """Set a limit, and skip the test unless it has taken hold."""
    name = next((name for name in names if (folder / name).exists()), None)
    if name is None:
        pytest.skip(f"the controller of {names[0]} is not enabled for new cgroups here")
    try:
        (folder / name).write_text(str(value))
    except OSError as error:
        pytest.skip(f"cannot set {name}: {error.strerror}")
    if (folder / name).read_text().strip() != str(value):
        pytest.skip(f"{name} has not taken hold")


def _swap_is_limited(folder: Path) -> bool:
    swap = Path("/proc/swaps").read_text().splitlines()[1:]
    return not swap or (folder / "memory.swap.max").exists()


def _check_that_children_get_in(folder: Path) -> None:
    result = subprocess.run(
        ["cat", "/proc/self/cgroup"],
        preexec_fn=entering(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    if folder.name not in result.stdout:
        pytest.skip("children do not get into the cgroup")
