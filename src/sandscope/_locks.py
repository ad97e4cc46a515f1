"""Locks that are reset in a forked child."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet

_locks: WeakSet[Any] = WeakSet()


def new_lock() -> threading.RLock:
    """Return a reentrant lock that is always free in a forked child, even if the parent's thread held it.

    Reentrant, because a finalizer or signal handler may acquire the lock on a thread that already holds it.
    """
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def _reset_all() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # as the standard library resets its own locks


os.register_at_fork(after_in_child=_reset_all)
