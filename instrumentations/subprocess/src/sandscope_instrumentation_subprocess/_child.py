"""What is kept of a child process while it runs."""

from __future__ import annotations

import time

from sandscope.instrumentation import Execution


class Child:
    """A child process and what the parent saw of it.

    Attributes:
        pid: its process id.
        execution: begun before the child was spawned.
        exit_time: nanoseconds since 1970, once the exit was seen.
        memory_limit: bytes of address space it may have, or None.
        memory_peak: bytes of address space it was last seen to have had, or None.
        sent: signals that this program sent to it, each with whether that was after a timeout.
        timed_out: whether this program waited for it in vain.
    """

    __slots__ = (
        "_clock",
        "execution",
        "exit_time",
        "memory_limit",
        "memory_peak",
        "pid",
        "sent",
        "timed_out",
    )

    def __init__(self, pid: int, execution: Execution) -> None:
        self.pid = pid
        self.execution = execution
        self.exit_time: int | None = None
        self.memory_limit: int | None = None
        self.memory_peak: int | None = None
        self.sent: list[tuple[int, bool]] = []
        self.timed_out = False
        self._clock = time.time_ns() - time.perf_counter_ns()

    def saw_exit(self) -> None:
        """Keep the time at which the exit was first seen."""
        if self.exit_time is None:
            # The wall clock may jump while a child runs; its duration must not.
            self.exit_time = self._clock + time.perf_counter_ns()
