"""A child process and what the parent has observed of it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from sandscope.instrumentation import Execution
from sandscope_instrumentation_subprocess._timers import sends_by_timer

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._evidence._exit_status import ExitStatus
    from sandscope_instrumentation_subprocess._evidence._observations import Observations
    from sandscope_instrumentation_subprocess._measures._samples import Samples

PidfdMode: TypeAlias = Literal["native", "fallback"]
"""Whether the exit of a child is observed by a pidfd, or only where the program waits for the child."""

_REACTION_TIME = 1_000_000_000
"""Nanoseconds: the least time that a program has after a timeout to stop the child because of it."""

_MOST_TIMEOUTS = 16


class SentSignal(NamedTuple):
    """A signal that this program sent to a child.

    Attributes:
        number: of the signal.
        after_timeout: whether it was sent because a wait for the child had timed out.
        time: nanoseconds since 1970.
        by_timer: whether a timer of the program sent it.
    """

    number: int
    after_timeout: bool
    time: int = 0
    by_timer: bool = False


class Timeout(NamedTuple):
    """A wait for a child that has timed out.

    Attributes:
        waited: seconds.
        time: nanoseconds since 1970.
    """

    waited: float
    time: int


class Child:
    """A child process and what the parent has observed of it.

    Attributes:
        contradictory: whether two sources disagree on how it ended.
        pid: its process id.
        execution: begun before the child was spawned.
        exit_time: nanoseconds since 1970, set when its exit is first observed.
        is_read: whether the watcher reads it while it runs.
        lost_status: how it ended, if other code has reaped it and the kernel still says it.
        meta_file: where ``isolate`` writes how its own child ended, or None.
        observed: what was read of it while it ran.
        pidfd: how its exit is observed; None if that was not tried.
        reapers: one item for each call of the program that reaps it now, or waits to do so: it also ends the execution.
        samples: what the user's settings ask to observe of it.
        sent_signals: the first signal of each number that this program sent to it, in that order.
        timeouts: the waits of this program that have timed out and took most of the child's life, at most 16.
    """

    __slots__ = (
        "_cancelled_until",
        "_clock_offset",
        "_started",
        "_timed_out_until",
        "_wait_started",
        "contradictory",
        "execution",
        "exit_time",
        "is_read",
        "lost_status",
        "meta_file",
        "observed",
        "pid",
        "pidfd",
        "reapers",
        "samples",
        "sent_signals",
        "timeouts",
    )

    def __init__(self, pid: int, execution: Execution, observed: Observations) -> None:
        self.pid = pid
        self.execution = execution
        self.contradictory = False
        self.exit_time: int | None = None
        self.is_read = False
        self.lost_status: ExitStatus | None = None
        self.meta_file: str | None = None
        self.observed = observed
        self.pidfd: PidfdMode | None = None
        self.reapers: list[None] = []
        self.samples: Samples | None = None
        self.sent_signals: dict[int, SentSignal] = {}
        self.timeouts: list[Timeout] = []
        self._started = time.perf_counter_ns()
        self._clock_offset = time.time_ns() - self._started
        self._timed_out_until = self._cancelled_until = self._wait_started = 0

    def is_eventful(self) -> bool:
        """Return whether more is to be recorded of the child than that it has ended."""
        return bool(
            self.timeouts
            or self.sent_signals
            or self.samples is not None
            or self.meta_file is not None
            or self.observed.cgroup is not None
        )

    def mark_exited(self) -> None:
        """Store the current time as the exit time, unless there is one."""
        if self.exit_time is None:
            exit_time = self._clock_offset + time.perf_counter_ns()
            # Read before the time is stored: another thread that finds it stored may reap the zombie.
            if self.samples is not None:
                self.samples.take_zombie(self.pid)
            if self.exit_time is None:
                self.exit_time = exit_time

    def now(self) -> int:
        """Return the time in nanoseconds since 1970, by a clock that does not jump while the child runs."""
        return self._clock_offset + time.perf_counter_ns()

    def note_timeout(self, wait_started: int) -> None:
        """Note that a wait for the child has timed out.

        Such a wait limits the child's time if it took most of the child's life: the short waits of a program that also
        looks at other things do not.

        Args:
            wait_started: as returned by `time.perf_counter_ns`.
        """
        self._timed_out_until = self._end_of_reaction(wait_started)
        if self.timeouts and wait_started <= self._wait_started:
            self.timeouts.pop()  # `communicate` has waited by `wait`
        if self._timed_out_until and len(self.timeouts) < _MOST_TIMEOUTS:
            waited = (time.perf_counter_ns() - wait_started) / 1e9
            self.timeouts.append(Timeout(waited, self.now()))
        self._wait_started = wait_started

    def note_cancelled_wait(self, wait_started: int) -> None:
        """Note that an exception has ended a wait for the child, as asyncio's does when a timeout is over.

        Args:
            wait_started: as returned by `time.perf_counter_ns`.
        """
        self._cancelled_until = self._end_of_reaction(wait_started)

    def note_signal(self, number: int) -> bool:
        """Note a signal that the program sends; return False if it has sent one of this number before."""
        if number in self.sent_signals:
            return False
        now = time.perf_counter_ns()
        after_timeout = now <= self._timed_out_until or (now <= self._cancelled_until and _handles_timeout())
        by_timer = not after_timeout and sends_by_timer((now - self._started) / 1e9)
        self.sent_signals[number] = SentSignal(number, after_timeout, self.now(), by_timer)
        return True

    def _end_of_reaction(self, wait_started: int) -> int:
        now = time.perf_counter_ns()
        waited, life = now - wait_started, now - self._started
        return now + max(waited, _REACTION_TIME) if 2 * waited >= life else 0


def _handles_timeout() -> bool:
    """Return whether the program is handling a timeout of asyncio at present."""
    error = sys.exc_info()[1]
    return isinstance(error, TimeoutError) or type(error).__qualname__ == "TimeoutError"
