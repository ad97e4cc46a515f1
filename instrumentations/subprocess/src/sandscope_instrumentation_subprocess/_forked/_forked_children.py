"""Forked children become executions when they execute a program."""

from __future__ import annotations

import os
from collections.abc import Callable

from sandscope.instrumentation import Execution, Recorder, new_lock
from sandscope_instrumentation_subprocess._forked._exec_observer import ExecObserver
from sandscope_instrumentation_subprocess._forked._fork_slots import Report
from sandscope_instrumentation_subprocess._forked._forks import Fork, Forks
from sandscope_instrumentation_subprocess._sites import message_of, site_of


class ForkedChildren:
    """Registers the forked children that execute a program.

    Attributes:
        forks: of this process.
    """

    def __init__(
        self, recorder: Recorder, register: Callable[[int, Execution], None], has_thread: Callable[[], bool]
    ) -> None:
        """Observe forks.

        Args:
            recorder: prepares executions.
            register: takes the process id and the execution of a child that executes a program.
            has_thread: returns whether this process has a thread that observes children.
        """
        self.forks = Forks(recorder, self._on_fork)
        self._register = register
        self._has_thread = has_thread
        self._lock = new_lock()
        self._observer = ExecObserver(self._look)

    @property
    def pending(self) -> bool:
        """Whether there are children of which it is not known whether they execute a program."""
        return bool(self.forks.pending)

    def find_executed(self) -> None:
        """Register the children that have executed a program in the meantime.

        Not in finalizers: it may start a thread.
        """
        if not self.forks.pending:
            return
        with self._lock:
            for report, fork in self.forks.executed():
                _confirm(report, fork)
                self._register(report.pid, fork.execution)
                self.forks.forget(fork)  # not before: it must not be missing on another thread in between

    def on_reaped(self, pid: int) -> None:
        """Note that the program has reaped a child that is not registered: it has executed no program.

        Args:
            pid: of the child.
        """
        taken = self.forks.take_ended(pid) if self.forks.pending else None
        if taken is not None and taken[0].errno:
            report, fork = taken
            error = OSError(report.errno, os.strerror(report.errno))
            _confirm(report, fork)
            fork.execution.fail(error, message=message_of(error))

    def close(self) -> None:
        """Register the last children, and observe no more forks."""
        self.find_executed()
        self.forks.close()

    def after_fork_in_child(self) -> None:
        """Forget everything: these are children of the forked process's parent."""
        self._observer = ExecObserver(self._look)

    def _on_fork(self, *, executes: bool) -> None:
        # A program that only forks must not get a thread.
        if executes or self._has_thread():
            self._observer.start()

    def _look(self) -> bool:
        self.find_executed()
        return bool(self.forks.pending)


def _confirm(report: Report, fork: Fork) -> None:
    fork.execution.confirm(site_of(None, report.name or None, shell=False))
