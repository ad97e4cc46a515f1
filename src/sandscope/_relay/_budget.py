"""How much is read of children in a time: what they write beyond it waits in their pipes, which are soon full."""

from __future__ import annotations

import time


class Budget:
    """Bytes that may be read now: a number that grows with time, up to a limit."""

    def __init__(self, rate: float, most: float) -> None:
        """Begin with the most.

        Args:
            rate: bytes a second.
            most: bytes at once.
        """
        self._rate, self._most = rate, most
        self._left, self._at = most, time.monotonic()

    def charge(self, size: float) -> float:
        """Take what was read, and return the seconds for which nothing may be read; often 0."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate) - size
        self._at = now
        return max(0.0, -self._left / self._rate)
