"""Say what is being waited for, if it takes long."""

from __future__ import annotations

import time

from sandscope._say import say

_SECONDS = 2.0


class Patience:
    """Says it after two seconds, and every two seconds again."""

    def __init__(self, waits_for: str) -> None:
        """Begin now."""
        self._waits_for = waits_for
        self._start = self._said = time.monotonic()

    def __call__(self) -> None:
        """Say it if it is time to."""
        now = time.monotonic()
        if now - self._said >= _SECONDS:
            self._said = now
            say(f"sandscope: {self._waits_for}: {now - self._start:.0f} s")
