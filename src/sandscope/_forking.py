"""Fork notifications for objects that have to reset their state in a forked child."""

from __future__ import annotations

import os
from time import perf_counter_ns
from typing import Protocol
from weakref import WeakSet

from sandscope import _guard

_watchers: WeakSet[Watcher] = WeakSet()
_forked_at = 0


class Watcher(Protocol):
    """An object that resets its state in a forked child."""

    def after_fork_in_child(self) -> None:
        """Drop what belongs to the parent process."""


def watch_forks(watcher: Watcher) -> None:
    """Call ``watcher.after_fork_in_child()`` in every forked child, with locks of `new_lock` already reset.

    Args:
        watcher: an object, which is referenced weakly.
    """
    _watchers.add(watcher)


def forked_at() -> int:
    """Return when this process was forked, on the clock of ``time.perf_counter_ns``; 0 if it was not."""
    return _forked_at


def _notify() -> None:
    global _forked_at  # noqa: PLW0603 -- one process
    _forked_at = perf_counter_ns()
    for watcher in list(_watchers):
        try:
            watcher.after_fork_in_child()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("fork", error)


os.register_at_fork(after_in_child=_notify)
