"""The configuration files as a Collector has read them, and whether they have changed since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class ReadFiles:
    """The state of files when they were read last."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Remember nothing yet: `remember` comes before each reading."""
        self._files = files
        self._read: dict[Path, object] = {}

    def remember(self) -> None:
        """Remember their state; what changes from now on has not been read."""
        self._read = {file: _state(file) for file in self._files}

    def have_changed(self) -> bool:
        """Return whether one has changed; one that is missing has not, because it is being written."""
        return any(
            state not in {None, self._read.get(file)} for file in self._files for state in [_state(file)]
        )


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
