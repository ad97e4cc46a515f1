"""The cache folder: what takes long to make is made once, in one step, by one process."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sandscope_collector.stores import cache_folder

_TIMEOUT = 600
"""Seconds that a package or a compiler may take."""


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache. If it is not there, make it.

    Args:
        kind: the folder in which it is.
        key: its name.
        make: fills the given folder.
    """
    with locked(kind, key) as place:
        folder = place / key
        if folder.is_dir():
            return folder
        unfinished = Path(tempfile.mkdtemp(prefix=".making-", dir=place))
        try:
            make(unfinished)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


@contextmanager
def locked(kind: str, key: str) -> Iterator[Path]:
    """Hold a lock against all tests that run meanwhile, of other checkouts too; yield a folder of the cache.

    Args:
        kind: the folder.
        key: the name of the lock.
    """
    place = cache_folder() / kind
    place.mkdir(parents=True, exist_ok=True)
    with (place / f".{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place


def run_command(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command.

    Args:
        command: its file and arguments.
        folder: the folder in which it runs.
        environment: environment variables in addition to those of this process.

    Raises:
        subprocess.SubprocessError: if it fails, with its output.
    """
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        said = f"{done.stdout}{done.stderr}"[-2000:]
        raise subprocess.SubprocessError(f"{Path(command[0]).name} ended with {done.returncode}: {said}")


def digest(*parts: str) -> str:
    """Return a name for what is made from these parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
