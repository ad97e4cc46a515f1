"""All processes of a program: where signals of a time limit go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sandscope._process_start import start_of


class OwnGroup:
    """The program is the leader of its process group."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def send(self, number: int) -> bool:
        """Send a signal to all processes; 0 sends nothing. Return whether there are any."""
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # they belong to another user
        return True


class Descendants:
    """The program is in the process group of others: it is found with its descendants in ``/proc``.

    A process that has left its parent is known if it had one when the first signal was sent.
    """

    def __init__(self, pid: int) -> None:
        self._known = {pid: _start_of(pid)}

    def send(self, number: int) -> bool:
        """Send a signal to all processes; 0 sends nothing. Return whether there are any."""
        for pid in list(self._known):
            for descendant in _descendants(pid):
                self._known.setdefault(descendant, _start_of(descendant))
        found = False
        for pid, started in list(self._known.items()):
            if started is not None and _start_of(pid) == started:  # no other process with the same number
                with suppress(OSError):
                    os.kill(pid, number)
                    found = True
        return found


def _descendants(pid: int) -> Iterator[int]:
    for task in _entries(f"/proc/{pid}/task"):
        with suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from _descendants(child)


def _entries(folder: str) -> list[Path]:
    try:
        return list(Path(folder).iterdir())
    except OSError:
        return []


def _start_of(pid: int) -> int | None:
    try:
        return start_of(pid)
    except OSError:
        return None  # it has ended
