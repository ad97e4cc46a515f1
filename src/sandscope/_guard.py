"""Internal errors of Sandscope: counted, logged once for each component, never raised into the program."""

from __future__ import annotations

import _thread
import logging
import os

from sandscope._locks import new_lock

_logger = logging.getLogger("sandscope")
_lock = new_lock()
_counts: dict[str, int] = {}
_logged: set[str] = set()


def report(component: str, error: BaseException) -> None:
    """Count an error of a component, and log it if it is the component's first.

    Args:
        component: what failed, such as ``recorder.begin``; from a small closed set.
        error: the exception that was caught.
    """
    with _lock:
        _counts[component] = _counts.get(component, 0) + 1
        first = component not in _logged
        _logged.add(component)
    if not first:
        return
    try:
        _warn(component, error)
    except RecursionError:  # the program has used up its stack; a new thread has its own
        try:
            _thread.start_new_thread(_warn, (component, error))  # `Thread.start` would need more of the stack
        except RuntimeError:
            _logged.discard(component)  # the next error is logged


def _warn(component: str, error: BaseException) -> None:
    _logger.warning(
        "Telemetry failed in %s: %r. The program is not affected. Further errors are only counted.",
        component,
        error,
        exc_info=error,
    )


def counts() -> dict[str, int]:
    """Return the number of errors by component."""
    with _lock:
        return {component: count for component, count in _counts.items() if count}


def _reset() -> None:
    """Count from zero in a forked child. What the parent has logged is not logged again."""
    _counts.update(dict.fromkeys(_counts, 0))


os.register_at_fork(after_in_child=_reset)
