"""Telemetry's own errors: logged once for each component, counted, never raised into the program."""

from __future__ import annotations

import logging

from sandscope._locks import new_lock

_logger = logging.getLogger("sandscope")
_lock = new_lock()
_counts: dict[str, int] = {}


def report(component: str, error: BaseException) -> None:
    """Log the first error of a component and count all of them.

    Args:
        component: which step failed, such as ``recorder.begin``; a small closed set.
        error: what was caught.
    """
    with _lock:
        first = component not in _counts
        _counts[component] = _counts.get(component, 0) + 1
    if first:
        _logger.warning(
            "Telemetry failed in %s: %r. The program runs on; more of these are only counted.",
            component,
            error,
            exc_info=error,
        )


def counts() -> dict[str, int]:
    """Return how many errors each component has had so far."""
    with _lock:
        return dict(_counts)
