"""Memory that this process shares with its forked children, in which each child says what program it executes."""

from __future__ import annotations

import mmap
import os
import struct
from itertools import count
from typing import NamedTuple

CAPACITY = 256
"""The maximum number of forked children of which it is not known yet whether they execute a program."""

_SIZE = 128
_LAYOUT = struct.Struct("=QiiBB")
"""The slot's number, the process id, the error's number, whether the program is executed, the length of its name."""
_MAX_NAME = _SIZE - _LAYOUT.size


class Report(NamedTuple):
    """What a forked child says.

    Attributes:
        pid: of the child.
        executed: whether it has executed a program, or is about to.
        errno: of the error by which its last attempt has failed; 0 if there is none.
        name: the name of the program; empty if it is not known.
    """

    pid: int
    executed: bool
    errno: int
    name: str


class Slot:
    """The place for the report of one child. Safe between fork and exec: it takes no lock and no file descriptor."""

    def __init__(self, memory: mmap.mmap, offset: int, number: int) -> None:
        self._memory, self._offset, self._number = memory, offset, number
        self._write(0, executed=False)

    def announce(self) -> None:
        """Say that this process is the child."""
        self._report(executed=False)

    def execute(self, name: str) -> None:
        """Say that this process is about to execute a program."""
        self._report(executed=True, name=name)

    def fail(self, error: OSError, name: str) -> None:
        """Say that the program could not be executed."""
        self._report(executed=False, errno=error.errno or 0, name=name)

    def read(self) -> Report | None:
        """Return the child's last report; None before the first, or if the slot belongs to another child now."""
        number, pid, errno, executed, length = _LAYOUT.unpack_from(self._memory, self._offset)
        if number != self._number or not pid:
            return None
        start = self._offset + _LAYOUT.size
        return Report(
            pid, bool(executed), errno, self._memory[start : start + length].decode(errors="ignore")
        )

    def _report(self, *, executed: bool, errno: int = 0, name: str = "") -> None:
        if _LAYOUT.unpack_from(self._memory, self._offset)[0] == self._number:
            self._write(os.getpid(), executed=executed, errno=errno, name=name)

    def _write(self, pid: int, *, executed: bool, errno: int = 0, name: str = "") -> None:
        encoded = name.encode()[:_MAX_NAME]
        start = self._offset + _LAYOUT.size
        self._memory[start : start + len(encoded)] = encoded  # first: the parent may read at any time
        _LAYOUT.pack_into(self._memory, self._offset, self._number, pid, errno, executed, len(encoded))


class Slots:
    """The slots of this process. Used by one thread at a time."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, CAPACITY * _SIZE)
        self._numbers = count(1)

    def new(self, index: int) -> Slot:
        """Return a slot for a child that is forked next.

        Args:
            index: less than `CAPACITY`; an earlier child can no longer report in this place.
        """
        return Slot(self._memory, index * _SIZE, next(self._numbers))
