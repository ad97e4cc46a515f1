"""Telemetry's own errors: logged once for each place, counted, never raised into the program."""

from __future__ import annotations

import logging
import threading

_logger = logging.getLogger("sandscope")
_lock = threading.Lock()
_counts: dict[str, int] = {}


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
