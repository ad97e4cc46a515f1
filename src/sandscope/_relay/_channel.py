"""The reading end of one child's pipe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from sandscope._relay import _relayed_records
from sandscope._relay._assembly import Assembly, BrokenPacketError, Received
from sandscope._relay._budget import Budget
from sandscope._relay._origin import Origin

_READ = 64 << 10
"""Bytes: what a pipe has at most, if nobody has changed its size."""
_RATE, _MOST = 2 << 20, 4 << 20
"""Bytes a second, and at once."""


class Channel:
    """The reading end of one child's pipe.

    Attributes:
        descriptor: of the pipe.
        origin: what the child's records must belong to.
        budget: how much is read of this child.
        has_ended: whether the execution has ended: what is in the pipe is still read, and then it is closed.
        rests_until: when it may be read again, by `time.monotonic`.
    """

    def __init__(self, descriptor: int, origin: Origin) -> None:
        """Take over a descriptor, which does not block."""
        self.descriptor, self.origin = descriptor, origin
        self.budget = Budget(_RATE, _MOST)
        self.has_ended = False
        self.rests_until = 0.0
        self._inode = os.fstat(descriptor).st_ino
        self._assembly: Assembly | None = Assembly()

    def read(self) -> bytes | None:
        """Return what was written; nothing if there is nothing now, None if there will be nothing any more."""
        if not self._is_open():
            return None
        try:
            return os.read(self.descriptor, _READ) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def requests_in(self, data: bytes) -> Iterator[Received]:
        """Yield the requests that are complete. After a broken packet, everything is dropped."""
        if self._assembly is None:
            return
        try:
            yield from self._assembly.take(data)
        except BrokenPacketError:
            self._assembly = None
            _relayed_records.add("span", "invalid")

    def close(self) -> None:
        """Close the descriptor, unless the program has closed it and reused its number."""
        if self._is_open():
            with suppress(OSError):
                os.close(self.descriptor)
        self._inode = -1

    def _is_open(self) -> bool:
        try:
            return os.fstat(self.descriptor).st_ino == self._inode
        except OSError:
            return False
