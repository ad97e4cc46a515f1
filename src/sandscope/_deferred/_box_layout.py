"""The layout of a black box: a file with a header, a legend, and slots of executions.

All numbers are little-endian. The file has its whole size from the start. What a number of a slot means is in the
legend before a slot refers to it; the state of a slot is stored last.
"""

from __future__ import annotations

import struct
import sys
from typing import NamedTuple

MAGIC = b"SANDSCBX"
VERSION = 1
SIZE = 256 * 1024
"""Bytes of a file."""
LEGEND = 4096
"""Where the legend begins: entries of a length in 4 bytes and a JSON object."""
SLOTS = 64 * 1024
"""Where the slots begin."""
SLOT_SIZE = 64
COUNT = (SIZE - SLOTS) // SLOT_SIZE
"""Number of slots."""
RESERVE = 1024
"""Number of slots that those do not keep that have ended: they are for executions that run."""

FREE, RUNNING, ENDED = range(3)
SPAN_DONE, LOG_DONE, METRICS_DONE, HAS_DETAILS = 1, 2, 4, 16
"""Marks of a slot. The first three: this signal needs no export any more. If all are set, the slot becomes free."""
BOTH_DONE = SPAN_DONE | LOG_DONE
ALL_DONE = BOTH_DONE | METRICS_DONE

IS_SUPPORTED = sys.platform == "linux" and sys.byteorder == "little"
"""Whether there can be black boxes: who is dead is found out as Linux tells it."""

LENGTH = struct.Struct("<I")
IDS = struct.Struct("<QQQQ")
"""The first half of a slot: trace id (high, low), span id, the parent's span id. Span id 0: no ids yet."""
TIMES = struct.Struct("<qqIIBBxxI")
"""The second half: start, end (``perf_counter_ns``), numbers of site and outcome, trace flags, marks, state."""
TIMES_AT = IDS.size
FLAGS_AT, MARKS_AT, STATE_AT = 56, 57, 60

CLOCK_AT = 160
CLOCK = struct.Struct("<qq")
"""What to add to ``perf_counter_ns`` to get nanoseconds since the epoch, and the last sign of life by that clock."""
LEGEND_USED_AT = 176
SENT_AT = 180
"""Which signals a reader has sent, and how often it has tried: 1 byte each."""
_OWNER = struct.Struct("<8sIIQQ36s")


class Owner(NamedTuple):
    """The process that writes a black box.

    Attributes:
        pid: its process id.
        start: its start, in clock ticks since the boot.
        namespace: the inode of its process id namespace.
        boot: the id of the boot.
    """

    pid: int
    start: int
    namespace: int
    boot: bytes

    def pack(self) -> bytes:
        """Return the beginning of a file."""
        return _OWNER.pack(MAGIC, VERSION, self.pid, self.start, self.namespace, self.boot)


def owner_of(content: bytes) -> tuple[int, Owner] | None:
    """Return the version of a file's layout and its owner; None if the file is no black box."""
    if len(content) < LEGEND:
        return None
    magic, version, pid, start, namespace, boot = _OWNER.unpack_from(content)
    return (version, Owner(pid, start, namespace, boot)) if magic == MAGIC else None
