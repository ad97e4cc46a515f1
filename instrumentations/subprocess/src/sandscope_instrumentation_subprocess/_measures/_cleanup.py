"""Cleanup: whether anything is left of a child after its exit, and how long it takes until it is reaped."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from sandscope.instrumentation import (
    CLEANUP_DURATION,
    CLEANUPS,
    Measurement,
    Recorder,
    Value,
    report_error,
    report_incident,
)
from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._evidence import CAN_INSPECT_ZOMBIES, wait_without_reaping
from sandscope_instrumentation_subprocess._measures._cgroup_members import count_cgroup_members, own_folder
from sandscope_instrumentation_subprocess._process_groups import count_members, group_exists

EVENT = "sandbox.cleanup"
OUTCOME = "sandbox.cleanup.outcome"
REMAINS = "sandbox.cleanup.remains"
PROCESSES = "sandbox.cleanup.processes"

Outcome: TypeAlias = Literal["success", "partial", "failure"]
Remains: TypeAlias = Literal["processes", "unknown", "child"]

_SITE: dict[str, Value] = {"sandbox.runtime": "subprocess", "sandbox.operation": "process"}
_COUNTS: dict[Outcome, tuple[Measurement, ...]] = {
    outcome: ((CLEANUPS, 1, {**_SITE, OUTCOME: outcome}),) for outcome in ("success", "partial", "failure")
}
_MOST_UNREAPED = 10_000


def success(child: Child) -> tuple[tuple[Measurement, ...], Measurement | None]:
    """Return what counts the cleanup of a child that has ended just now and has left nothing, and its duration."""
    return _COUNTS["success"], _duration("success", child, child.now())


def _duration(outcome: Outcome, child: Child, reaped: int | None) -> Measurement | None:
    if reaped is None or child.exit_time is None:
        return None
    return CLEANUP_DURATION, max(0, reaped - child.exit_time) / 1e9, _COUNTS[outcome][0][2]


class Cleanups:
    """Records one cleanup for each child.

    Success is a child that the program has reaped, and whose own process group and cgroup, if it had them, are empty.
    Partial is one of which processes there still run, or that other code has reaped. Failure is one that the program
    has not reaped until its own end.
    """

    def __init__(
        self,
        recorder: Recorder,
        later: Callable[[Callable[[], None]], None],
        running: Callable[[], list[Child]],
    ) -> None:
        """Begin without a child.

        Args:
            recorder: takes the measurements.
            later: calls something on another thread after a short time.
            running: returns the children that run.
        """
        self._recorder = recorder
        self._later = later
        self._running = running
        self._unreaped: dict[int, Child] = {}

    def on_reaped(self, child: Child) -> None:
        """Record the cleanup of a child that the program has reaped just now."""
        try:
            reaped = child.now()
            if group_exists(child.pid) or self._count_in_cgroup(child):
                # Processes that were killed together do not all end at once.
                self._later(partial(self._check, child, reaped))
            else:
                self._record(child, "success", reaped)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.cleanup", error)

    def on_unreaped(self, child: Child) -> None:
        """Keep a child whose execution ends before the program has reaped it."""
        if len(self._unreaped) >= _MOST_UNREAPED:
            for lost in self._take_lost():
                self.on_lost(lost)
        self._unreaped[child.pid] = child

    def forget(self, child: Child) -> None:
        """Undo `on_unreaped`."""
        if self._unreaped.get(child.pid) is child:
            self._unreaped.pop(child.pid, None)

    def on_late_reap(self, pid: int) -> None:
        """Record the cleanup of a child that `on_unreaped` has kept, if there is one."""
        child = self._unreaped.pop(pid, None) if self._unreaped else None
        if child is not None:
            self.on_reaped(child)

    def on_lost(self, child: Child) -> None:
        """Record that other code, or the kernel, has reaped a child."""
        # Not here: this may be a finalizer, and it emits a log record.
        self._later(partial(self._record, child, "partial", remains="unknown"))

    def on_reused(self, pid: int) -> None:
        """Record that other code has reaped the child that had a process id before, if `on_unreaped` has kept it."""
        child = self._unreaped.pop(pid, None) if self._unreaped else None
        if child is not None:
            self.on_lost(child)

    def close(self, *, at_exit: bool) -> None:
        """Forget the children that are not reaped.

        Args:
            at_exit: the program ends, and cannot reap them any more.
        """
        if at_exit:
            for child in self._take_lost():
                self._record(child, "partial", remains="unknown")
            for child in self._unreaped.values():
                self._record(child, "failure", remains="child")
        self._unreaped.clear()

    def after_fork_in_child(self) -> None:
        """Forget everything: these are children of the forked process's parent."""
        self._unreaped.clear()

    def _take_lost(self) -> list[Child]:
        """Forget the children that other code has reaped, and return them."""
        lost = []
        for child in list(self._unreaped.values()):
            try:
                if CAN_INSPECT_ZOMBIES:
                    wait_without_reaping(child.pid, os.WNOHANG)
            except ChildProcessError:
                self.forget(child)
                lost.append(child)
        return lost

    def _check(self, child: Child, reaped: int) -> None:
        members = max(count_members(child.pid), self._count_in_cgroup(child))
        if members:
            self._record(child, "partial", reaped, "processes", members)
        else:
            self._record(child, "success", reaped)

    def _count_in_cgroup(self, child: Child) -> int:
        folder = own_folder(child)
        if folder is None or any(own_folder(other) == folder for other in self._running()):
            return 0  # the members may be those of another child
        return count_cgroup_members(folder)

    def _record(
        self,
        child: Child,
        outcome: Outcome,
        reaped: int | None = None,
        remains: Remains | None = None,
        processes: int | None = None,
    ) -> None:
        self._recorder.measure_all(_COUNTS[outcome], _duration(outcome, child, reaped))
        if remains is not None:
            attributes: dict[str, Value] = {OUTCOME: outcome, REMAINS: remains}
            if processes is not None:
                attributes[PROCESSES] = processes
            report_incident(child.execution, EVENT, f"cleanup: {outcome} ({remains})", attributes)
