"""Converts the monotonic clock to nanoseconds since the epoch."""

from __future__ import annotations

from time import perf_counter_ns, time_ns

offset = 0
"""Nanoseconds to add to `perf_counter_ns` to get nanoseconds since the epoch."""


def refresh() -> None:
    """Update the offset, because the wall clock may have been adjusted."""
    global offset
    best = None
    for _ in range(3):
        before, wall, after = perf_counter_ns(), time_ns(), perf_counter_ns()
        if best is None or after - before < best:
            best, offset = after - before, wall - (before + after) // 2


refresh()
