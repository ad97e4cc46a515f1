"""The pipes by which children send their telemetry through this process, if ``SANDSCOPE_RELAY`` asks for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from sandscope.instrumentation import (
    Execution,
    children_continue_trace,
    relay,
    relay_variable,
    report_error,
)
from sandscope_instrumentation_subprocess._file_descriptors import may_open, move_up

_OTHER_DESCRIPTORS = 3
"""Of the instrumentation, without those of running children."""


class Relay(Protocol):
    """What `relay` returns."""

    @property
    def children(self) -> int:
        """The number of children whose pipes are open."""

    def add(self, descriptor: int, execution: Execution) -> bool:
        """Read a pipe from now on; the descriptor belongs to the relay if this returns True."""


class ChildEnd:
    """The end of a pipe that a child inherits.

    Attributes:
        descriptor: of the child's end.
        variables: tell the child of it.
    """

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor, which does not block.

        Args:
            descriptor: is closed by `close`.
        """
        self.descriptor = descriptor
        self.variables: Mapping[str, str] = relay_variable(descriptor)

    def close(self) -> None:
        """Close it in this process: the child has its own."""
        with suppress(OSError):
            os.close(self.descriptor)


def open_pipe(execution: Execution) -> ChildEnd | None:
    """Return the end for a child that starts now; None if it gets none.

    Args:
        execution: of the child.
    """
    try:
        reader = relay()
        # A pidfd and a pipe for each child.
        if reader is None or not children_continue_trace():
            return None
        if not may_open(_OTHER_DESCRIPTORS + 2 * reader.children):
            return None
        return _open(reader, execution)
    except OSError:
        return None  # there are no descriptors left
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.relay", error)
        return None


def _open(reader: Relay, execution: Execution) -> ChildEnd | None:
    descriptors = list(os.pipe())
    try:
        for place, descriptor in enumerate(descriptors):
            os.set_blocking(descriptor, False)
            descriptors[place] = -1
            descriptors[place] = move_up(descriptor)
        end = ChildEnd(descriptors[1])
        if reader.add(descriptors[0], execution):
            descriptors.clear()
            return end
        return None
    finally:
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)
