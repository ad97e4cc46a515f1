"""What is told of forks, so that a forked child starts from zero."""

from __future__ import annotations

import os
from weakref import WeakSet

from sandscope import _guard

_watchers: WeakSet[object] = WeakSet()


def watch_forks(watcher: object) -> None:
    """Tell an object of forks for as long as it lives.

    Args:
        watcher: has one or more of the methods ``before_fork``, ``after_fork_in_parent`` and
            ``after_fork_in_child``, without arguments. Locks of `new_lock` are free again by then.
    """
    _watchers.add(watcher)


def _tell(step: str) -> None:
    for watcher in list(_watchers):
        method = getattr(watcher, step, None)
        if method is not None:
            try:
                method()
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("fork", error)


os.register_at_fork(
    before=lambda: _tell("before_fork"),
    after_in_parent=lambda: _tell("after_fork_in_parent"),
    after_in_child=lambda: _tell("after_fork_in_child"),
)
