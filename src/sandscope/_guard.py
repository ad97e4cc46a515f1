"""Telemetry's own errors: logged once for each place, counted, never raised into the program."""

from __future__ import annotations

import logging
import os
import threading

_logger = logging.getLogger("sandscope")
_lock = threading.RLock()  # signal handlers and finalisers may report while this thread does
_counts: dict[str, int] = {}


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 -- another thread may have held it, and is not in the child
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


def report(place: str, error: BaseException) -> None:
    """Log the first error of a place and count all of them.

    Args:
        place: which step failed, such as ``recorder.begin``; a small closed set.
        error: what was caught.
    """
    with _lock:
        first = place not in _counts
        _counts[place] = _counts.get(place, 0) + 1
    if first:
        _logger.warning(
            "Telemetry failed in %s: %r. The program runs on; more of these are only counted.",
            place,
            error,
            exc_info=error,
        )


def counts() -> dict[str, int]:
    """Return how many errors each place has had so far."""
    with _lock:
        return dict(_counts)
