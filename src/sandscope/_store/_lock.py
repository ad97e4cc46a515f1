"""Who may read and who may write the store: any number of readers, or one writer."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandscope._errors import SandscopeError
from sandscope._say import say

_PATIENCE, _INTERVAL = 1.0, 0.02
"""Seconds after which a line says that it waits, and between two tries before that."""


@contextmanager
def reading(store: Path) -> Iterator[None]:
    """Keep writers away."""
    with _locked(store, fcntl.LOCK_SH):
        yield


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """Keep readers and other writers away. The kernel lets go of it when the process ends, in whatever way.

    Raises:
        SandscopeError: if the folder cannot be written.
    """
    with _locked(store, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(store: Path, operation: int) -> Iterator[None]:
    try:
        store.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(store / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SandscopeError(
            f"Cannot keep the local store in {str(store)!r}: {error.strerror}. Choose another folder with --data, "
            "or make this one writable."
        ) from error
    try:
        if not _taken(descriptor, operation):
            say(f"sandscope: waiting for another process that uses {str(store)!r}")
            fcntl.flock(descriptor, operation)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int, operation: int) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_INTERVAL)
        else:
            return True
