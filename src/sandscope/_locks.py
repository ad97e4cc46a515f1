"""Locks that a fork leaves free: the one place that renews them in the child."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet

_locks: WeakSet[Any] = WeakSet()


def new_lock() -> threading.RLock:
    """Return a reentrant lock that is free in a forked child, whoever holds it in the parent.

    Reentrant, because finalisers and signal handlers may need it while their own thread holds it.
    """
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def _renew() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # as modules of the standard library renew theirs


os.register_at_fork(after_in_child=_renew)
