"""Writes records into the slots of a black box, in Python. `native/slots.c` contains the compiled version."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from sandscope import _guard
from sandscope._deferred._box_layout import (
    ALL_DONE,
    COUNT,
    ENDED,
    FLAGS_AT,
    FREE,
    HAS_DETAILS,
    IDS,
    MARKS_AT,
    RESERVE,
    RUNNING,
    SLOT_SIZE,
    STATE_AT,
    TIMES,
    TIMES_AT,
)
from sandscope._execution import Site
from sandscope._verdict import OK

_EMPTY = bytes(SLOT_SIZE)


class Slots:
    """The slots of a black box. A record keeps its slot until its telemetry has been delivered, or is lost.

    Attributes:
        left_out: the number of executions for which there was no slot, or none any more at their end.
    """

    def __init__(
        self,
        buffer: memoryview,
        sites: dict[Site, int],
        site_number: Callable[[Any], int],
        outcome_number: Callable[[Any], int],
    ) -> None:
        """Create the slots.

        Args:
            buffer: the slots' memory.
            sites: the numbers of sites in the legend.
            site_number: returns the number of a record's site that has none yet; 0 if the legend is full.
            outcome_number: returns the number of an ended record's outcome, unless the verdict is `OK`: this is 1.
        """
        self.left_out = 0
        self._buffer: memoryview | None = buffer
        self._sites, self._site_number, self._outcome_number = sites, site_number, outcome_number
        self._free = deque(range(0, COUNT * SLOT_SIZE, SLOT_SIZE))

    def begin(self, record: Any) -> None:
        """Give a slot to a record that begins. Once it has one, only write its start again."""
        buffer = self._buffer
        if buffer is None:
            return
        try:
            if getattr(record, "box", None) is not self:
                site = self._sites.get(record.site) or self._site_number(record)
                if not site or not self._free:
                    self.left_out += 1
                    return
                record.slot, record.box = self._free.popleft(), self
            else:
                site = self._sites.get(record.site) or self._site_number(record)
            TIMES.pack_into(buffer, record.slot + TIMES_AT, record.started, 0, site, 0, 0, 0, RUNNING)
            if record.identity is not None:
                self.identify(record)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("black_box", error)

    def end(self, record: Any) -> None:
        """Write the end of a record that has this box."""
        buffer = self._buffer
        if buffer is None:
            return
        try:
            if len(self._free) < RESERVE:
                self.left_out += 1
                self._leave(record, buffer)
                return
            at = record.slot + TIMES_AT
            started, _, site, _, flags, marks, _ = TIMES.unpack_from(buffer, at)
            outcome = 1 if record.verdict is OK else self._outcome_number(record)
            marks |= 0 if record.details is None else HAS_DETAILS
            TIMES.pack_into(buffer, at, started, record.ended, site, outcome, flags, marks, ENDED)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("black_box", error)

    def identify(self, record: Any) -> None:
        """Write the ids of a record that has this box."""
        buffer = self._buffer
        if buffer is None:
            return
        trace, span, _, flags, *_ = record.identity
        parent = record.parent
        of_parent = 0 if parent is None else parent.span_id
        IDS.pack_into(buffer, record.slot, trace >> 64, trace & (1 << 64) - 1, span, of_parent)
        buffer[record.slot + FLAGS_AT] = flags & 0xFF

    def mark(self, records: list[Any], marks: int) -> None:
        """Mark the slots of records. What is done for all signals is free again."""
        buffer = self._buffer
        if buffer is None:
            return
        for record in records:
            if getattr(record, "box", None) is not self:
                continue
            at = record.slot
            buffer[at + MARKS_AT] |= marks
            if buffer[at + MARKS_AT] & ALL_DONE == ALL_DONE:
                self._leave(record, buffer)

    def _leave(self, record: Any, buffer: memoryview) -> None:
        at, record.box = record.slot, None
        buffer[at + STATE_AT] = FREE
        buffer[at : at + SLOT_SIZE] = _EMPTY
        self._free.appendleft(at)

    def close(self) -> None:
        """Write no more."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            buffer.release()
