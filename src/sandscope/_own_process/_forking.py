"""Fork notifications for objects that observe forks, or have to reset their state in a forked child."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import Protocol, TypeVar
from weakref import WeakSet

from sandscope import _guard
from sandscope._own_process import _first_child

_Watcher = TypeVar("_Watcher", bound="Watcher")

_watchers: WeakSet[Watcher] = WeakSet()
_observers: WeakSet[ForkObserver] = WeakSet()
_forked_at = 0


class Watcher(Protocol):
    """An object that resets its state in a forked child."""

    def after_fork_in_child(self) -> None:
        """Drop what belongs to the parent process."""


class ForkObserver(Watcher, Protocol):
    """An object that observes the forks of this process."""

    def before_fork(self, module: str) -> None:
        """Prepare a fork.

        Args:
            module: the name of the module that forks.
        """

    def after_fork_in_parent(self) -> None:
        """Note that the fork is done, or has failed. Called on the same thread."""


def observe_forks(observer: ForkObserver) -> None:
    """Call the methods of an observer for every fork whose child may execute another program.

    ``after_fork_in_child`` is called as by `watch_forks`, and ``after_fork_in_parent`` after each fork.

    Args:
        observer: an object, which is referenced weakly.
    """
    watch_forks(observer)
    _observers.add(observer)


def watch_forks(watcher: Watcher) -> None:
    """Call ``watcher.after_fork_in_child()`` in every forked child, with locks of `new_lock` already reset.

    Args:
        watcher: an object, which is referenced weakly.
    """
    _watchers.add(watcher)


def forked_at() -> int:
    """Return when this process was forked, on the clock of ``time.perf_counter_ns``; 0 if it was not."""
    return _forked_at


def _before() -> None:
    if not _observers:
        return
    module = _first_child.forking_module()
    if _first_child.may_execute(module):
        _for_each(_observers, lambda observer: observer.before_fork(module))


def _after_in_parent() -> None:
    _for_each(_observers, lambda observer: observer.after_fork_in_parent())


def _notify() -> None:
    global _forked_at  # noqa: PLW0603 -- one process
    _forked_at = perf_counter_ns()
    _for_each(_watchers, lambda watcher: watcher.after_fork_in_child())


def _for_each(watchers: Iterable[_Watcher], notify: Callable[[_Watcher], None]) -> None:
    for watcher in list(watchers):
        try:
            notify(watcher)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("fork", error)


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_notify)
