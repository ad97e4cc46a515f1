"""What a forked child begins anew: the one place that asks the interpreter to be told of forks."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet

_locks: WeakSet[Any] = WeakSet()
_watchers: WeakSet[Any] = WeakSet()


def new_lock() -> threading.RLock:
    """Return a reentrant lock that is free in a forked child, whoever has held it in the parent.

    Reentrant, as finalisers and signal handlers may come where their own thread holds it already.
    """
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def watch_forks(watcher: object) -> None:
    """Tell an object of forks for as long as it lives.

    Args:
        watcher: has one or more of the methods ``before_fork``, ``after_fork_in_parent`` and
            ``after_fork_in_child``, without arguments.
    """
    _watchers.add(watcher)


def _tell(step: str) -> None:
    for watcher in list(_watchers):
        method = getattr(watcher, step, None)
        if method is not None:
            try:
                method()
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                from sandscope import _guard

                _guard.report("fork", error)


def _begin_child() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # as the standard library's own modules renew theirs
    _tell("after_fork_in_child")


os.register_at_fork(
    before=lambda: _tell("before_fork"),
    after_in_parent=lambda: _tell("after_fork_in_parent"),
    after_in_child=_begin_child,
)
