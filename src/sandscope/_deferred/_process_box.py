"""The black box of this process as its pipeline uses it: opened with the first execution, anew in a forked child."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource

from sandscope._deferred._box_layout import IS_SUPPORTED, METRICS_DONE
from sandscope._locks import new_lock

if TYPE_CHECKING:
    from sandscope._deferred._black_box import BlackBox
    from sandscope._deferred._compiled import Slots


MOST_COUNTED = 512
"""Executions that keep their slots only because their metrics have not been exported. The others need slots, too."""


class ProcessBox:
    """A black box that may be open.

    Attributes:
        slots: the slots of the black box; None while it is not open.
        counted: how often executions have been counted.
    """

    def __init__(self, folder: Path | None, recorders: Iterable[Any]) -> None:
        """Create what opens the black box.

        Args:
            folder: the folder for its file; None if there is to be none.
            recorders: get the slots.
        """
        self.slots: Slots | None = None
        self._folder = folder if IS_SUPPORTED else None
        self._recorders = recorders
        self._box: BlackBox | None = None
        self.counted = 0
        self._unexported: deque[tuple[int, Sequence[Any]]] = deque()
        self._lock = new_lock()

    def open(self, resource: Resource) -> None:
        """Create the file, unless there is one, or there is to be none. If it cannot be created, this is reported."""
        if self._folder is None or self._box is not None:
            return
        from sandscope._deferred._black_box import open_black_box

        with self._lock:
            if self._box is None:
                self._box = open_black_box(self._folder, resource)
                self._use(None if self._box is None else self._box.slots)

    def show_life(self) -> None:
        """Write the time to the file."""
        if self._box is not None:
            self._box.show_life()

    def mark(self, marks: int, executions: Sequence[Any]) -> None:
        """Note what has been done with executions."""
        if self.slots is not None and executions:
            self.slots.mark(list(executions), marks)

    def count(self, executions: Sequence[Any]) -> None:
        """Note that executions are counted, in metrics that are not exported yet. One thread at a time calls this."""
        if self.slots is None:
            return
        room = max(0, MOST_COUNTED - sum(len(each) for _, each in list(self._unexported)))
        self.counted += 1
        if room:  # the queue stays short, even if nothing can be exported for hours
            self._unexported.append((self.counted, executions[:room]))
        self.mark(METRICS_DONE, executions[room:])

    def on_export(self, counted: int) -> None:
        """Note that metrics are exported.

        Args:
            counted: the attribute, when they were collected.
        """
        with suppress(IndexError):  # another thread has exported as well
            while self._unexported[0][0] <= counted:
                self.mark(METRICS_DONE, self._unexported.popleft()[1])

    def remove(self) -> None:
        """Remove the file, and create no other: this process ends as it should."""
        self._folder = None
        self._close(remove=True)

    def after_fork_in_child(self) -> None:
        """Leave the file to the parent process."""
        self._close(remove=False)

    def _close(self, *, remove: bool) -> None:
        box, self._box = self._box, None
        self._unexported.clear()
        if box is not None:
            self._use(None)
            box.close(remove=remove)

    def _use(self, slots: Slots | None) -> None:
        self.slots = slots
        for recorder in list(self._recorders):
            recorder.slots = slots
