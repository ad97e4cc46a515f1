"""Report the progress of a long step: one line that is updated on a terminal, else a line every few seconds."""

from __future__ import annotations

import shutil
import time
from typing import TextIO


class Progress:
    """Progress lines on a stream.

    Args:
        stream: where to write them, usually stderr.
        every: seconds between two lines about the same step, if the stream is not a terminal.
    """

    def __init__(self, stream: TextIO, *, every: float = 15.0) -> None:
        self._stream = stream
        self.every = every
        self._terminal = stream.isatty()
        self._last = time.monotonic()

    def say(self, line: str) -> None:
        """Write a line that remains."""
        self._write(f"\r\x1b[K{line}\n" if self._terminal else f"{line}\n")

    def tick(self, line: str) -> None:
        """Write a line that the next one replaces; where the stream is not a terminal, skip it if it is too early."""
        if self._terminal:
            self._write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
        elif time.monotonic() - self._last >= self.every:
            self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        self._stream.write(text)
        self._stream.flush()
