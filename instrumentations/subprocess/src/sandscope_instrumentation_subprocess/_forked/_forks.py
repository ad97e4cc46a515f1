"""The forks of this process whose child may execute a program, and what such a child does before it executes one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from sandscope.instrumentation import Execution, Recorder, new_lock, observe_forks
from sandscope_instrumentation_subprocess._forked._fork_slots import CAPACITY, Report, Slot, Slots
from sandscope_instrumentation_subprocess._sites import UNKNOWN
from sandscope_instrumentation_subprocess._starts._popen_environment import carrier_of

_EXECUTING_MODULES = {"invoke", "os", "pexpect", "pty", "ptyprocess", "sh"}
"""The packages whose forked children execute a program at once; ``os`` is that of ``os.spawn*``."""


class Fork(NamedTuple):
    """A fork.

    Attributes:
        place: the position of the slot.
        execution: prepared before the fork; it takes place if the child executes a program.
        carrier: the environment variables with the context of the execution.
        slot: where the child reports.
        executes: whether the child will execute a program at once.
    """

    place: int
    execution: Execution
    carrier: dict[str, str]
    slot: Slot
    executes: bool


class Forks:
    """The forks of this process.

    A fork costs some memory only: no thread, no file descriptor, no signal.

    Attributes:
        own: the fork that has created this process; None in a process that was not forked.
        pending: the forks of whose children it is not known whether they execute a program.
    """

    def __init__(self, recorder: Recorder, on_fork: Callable[..., None]) -> None:
        """Observe forks.

        Args:
            recorder: prepares executions.
            on_fork: is called after each fork, in the parent process, with `Fork.executes`.
        """
        self.own: Fork | None = None
        self._closed, self._last = False, -1
        self._recorder = recorder
        self._on_fork = on_fork
        self._slots: Slots | None = None
        self._lock = new_lock()
        self._starting: dict[int, Fork] = {}
        self.pending: dict[int, Fork] = {}
        observe_forks(self)

    def before_fork(self, module: str) -> None:
        """See `ForkObserver`."""
        if self._closed:
            return
        execution = self._recorder.prepare(UNKNOWN)
        if execution is None:
            return
        carrier, executes = carrier_of(execution), module.partition(".")[0] in _EXECUTING_MODULES
        with self._lock:
            if self._slots is None:
                self._slots = Slots()
            index = self._free_index()
            fork = self.pending[index] = Fork(index, execution, carrier, self._slots.new(index), executes)
        self._starting[threading.get_ident()] = fork

    def after_fork_in_parent(self) -> None:
        """See `ForkObserver`."""
        started = self._starting.pop(threading.get_ident(), None)
        if started is not None:
            self._on_fork(executes=started.executes)

    def after_fork_in_child(self) -> None:
        """Forget the forks of the parent, and report to it."""
        self.own = self._starting.get(threading.get_ident())
        self._slots, self._starting, self.pending = None, {}, {}
        if self.own is not None:
            self.own.slot.announce()

    def executed(self) -> list[tuple[Report, Fork]]:
        """Return the children that have executed a program and are not forgotten."""
        return self._find(lambda report: report.executed)

    def take_ended(self, pid: int) -> tuple[Report, Fork] | None:
        """Return a child that has ended without executing a program, and forget it; None if it is not known."""
        ended = self._find(lambda report: report.pid == pid)
        for _, fork in ended:
            self.forget(fork)
        return ended[-1] if ended else None

    def close(self) -> None:
        """Forget all forks, and observe no more."""
        self._closed = True
        self.pending.clear()

    def forget(self, fork: Fork) -> None:
        """Make room for another fork."""
        with self._lock:
            if self.pending.get(fork.place) is fork:
                del self.pending[fork.place]

    def _find(self, wanted: Callable[[Report], bool]) -> list[tuple[Report, Fork]]:
        reports = [(fork.slot.read(), fork) for fork in list(self.pending.values())]
        return [(report, fork) for report, fork in reports if report is not None and wanted(report)]

    def _free_index(self) -> int:
        if len(self.pending) >= CAPACITY:
            del self.pending[next(iter(self.pending))]
        # One after the other: a child that was seen to execute a program may be writing once more, if that has failed.
        while True:
            self._last = (self._last + 1) % CAPACITY
            if self._last not in self.pending:
                return self._last
