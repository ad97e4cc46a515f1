"""A child process and what the parent has observed of it."""

from __future__ import annotations

import time
from typing import NamedTuple

from sandscope.instrumentation import Execution


class SentSignal(NamedTuple):
    """A signal that this program sent to a child.

    Attributes:
        number: of the signal.
        after_timeout: whether a wait for the child had timed out before.
    """

    number: int
    after_timeout: bool


class Child:
    """A child process and what the parent has observed of it.

    Attributes:
        pid: its process id.
        execution: begun before the child was spawned.
        exit_time: nanoseconds since 1970, set when its exit is first observed.
        memory_limit: its limit of address space in bytes, or None.
        memory_peak: the last sampled peak of its address space in bytes, or None.
        sent_signals: the signals that this program sent to it, the first one first.
        timed_out: whether a wait for it has timed out.
    """

    __slots__ = (
        "_clock_offset",
        "execution",
        "exit_time",
        "memory_limit",
        "memory_peak",
        "pid",
        "sent_signals",
        "timed_out",
    )

    def __init__(self, pid: int, execution: Execution) -> None:
        self.pid = pid
        self.execution = execution
        self.exit_time: int | None = None
        self.memory_limit: int | None = None
        self.memory_peak: int | None = None
        self.sent_signals: list[SentSignal] = []
        self.timed_out = False
        self._clock_offset = time.time_ns() - time.perf_counter_ns()

    def mark_exited(self) -> None:
        """Store the current time as the exit time, unless there is one."""
        if self.exit_time is None:
            # The wall clock may jump while a child runs; its duration must not.
            self.exit_time = self._clock_offset + time.perf_counter_ns()
