"""Options that are a length of time."""

from __future__ import annotations

import re
import time

from sandscope._errors import SandscopeError

DURATION = "only the last 30s, 15m, 2h or 7d"
"""What such an option means."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST = 100 * 365 * 86400 * 10**9


def duration(text: str, option: str) -> int:
    """Return nanoseconds.

    Raises:
        SandscopeError: if it is not a length of time.
    """
    match = re.fullmatch(r"([0-9]{1,18})([smhd])", text)
    if match is None:
        raise SandscopeError(
            f"Cannot use {option} {text!r}: give a number and a unit, such as 30s, 15m, 2h or 7d."
        )
    return min(_MOST, int(match[1]) * _UNITS[match[2]] * 10**9)


def moment(text: str, option: str) -> int:
    """Return nanoseconds since 1970 of the time that was so long ago.

    Raises:
        SandscopeError: if it is not a length of time.
    """
    return max(0, time.time_ns() - duration(text, option))
