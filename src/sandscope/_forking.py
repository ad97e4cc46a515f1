"""Fork notifications for objects that have to reset their state in a forked child."""

from __future__ import annotations

import os
from weakref import WeakSet

from sandscope import _guard

_watchers: WeakSet[object] = WeakSet()


def watch_forks(watcher: object) -> None:
    """Notify an object of forks. The object is referenced weakly.

    Args:
        watcher: has one or more of the methods ``before_fork``, ``after_fork_in_parent`` and
            ``after_fork_in_child``, without arguments. In the child, locks of `new_lock` are reset before the call.
    """
    _watchers.add(watcher)


def _notify(method_name: str) -> None:
    for watcher in list(_watchers):
        method = getattr(watcher, method_name, None)
        if method is not None:
            try:
                method()
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("fork", error)


os.register_at_fork(
    before=lambda: _notify("before_fork"),
    after_in_parent=lambda: _notify("after_fork_in_parent"),
    after_in_child=lambda: _notify("after_fork_in_child"),
)
