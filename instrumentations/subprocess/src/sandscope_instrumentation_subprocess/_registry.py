"""The running children and their executions."""

from __future__ import annotations

import os
import resource
import signal
from _signal import getsignal  # type: ignore[import-not-found] # of `signal`, it makes an enum for each child
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sandscope.instrumentation import (
    MISSING_EVIDENCE,
    Execution,
    Recorder,
    Verdict,
    new_lock,
    report_error,
    watch_forks,
)
from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._ends import end_execution, end_success, finish
from sandscope_instrumentation_subprocess._evidence import (
    CAN_INSPECT_ZOMBIES,
    NOT_INSPECTED,
    ExitStatus,
    Observations,
    Zombie,
    inspect_zombie,
    wait_without_reaping,
)
from sandscope_instrumentation_subprocess._forked._forked_children import ForkedChildren
from sandscope_instrumentation_subprocess._measures._cleanup import Cleanups
from sandscope_instrumentation_subprocess._sites import STILL_RUNNING
from sandscope_instrumentation_subprocess._waits import _observed_wait
from sandscope_instrumentation_subprocess._waits._exit_watcher import ExitWatcher

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._measures._samples import Samples
    from sandscope_instrumentation_subprocess._settings import SubprocessSettings

_NO_PID = -1
"""Of a child whose process id is not known."""


class Registry:
    """Running children by process id. Whoever observes a child's end first removes it, and ends its execution.

    Attributes:
        cleanups: records what is left of children.
        forked: children that are not registered unless they execute a program.
    """

    def __init__(self, recorder: Recorder, settings: SubprocessSettings) -> None:
        self._recorder = recorder
        self._settings = settings
        self._asks_for_samples = settings.ask_for_samples
        self.cleanups = Cleanups(recorder, self._later, self.children)
        self.forked = ForkedChildren(
            recorder, partial(self.add, prepared=True), lambda: self._watcher is not None
        )
        self._children: dict[int, Child] = {}
        self._watcher: ExitWatcher | None = None
        self._watcher_lock = new_lock()
        watch_forks(self)

    def get(self, pid: Any) -> Child | None:
        """Return the registered child with a process id, or None."""
        return self._children.get(pid) if isinstance(pid, int) else None

    def children(self) -> list[Child]:
        """Return all registered children."""
        return list(self._children.values())

    def is_empty(self) -> bool:
        """Return whether this process has no child that is registered or may still be."""
        return not self._children and not self.forked.pending

    def add(
        self,
        pid: Any,
        execution: Execution,
        *,
        caller_waits: bool = False,
        prepared: bool = False,
        meta_file: str | None = None,
    ) -> None:
        """Register a child that has been spawned.

        Args:
            pid: of the child.
            execution: begun before.
            caller_waits: whether the program waits for it next: then it is not watched, unless it is polled.
            prepared: whether code of the program ran in the child before it executed another program.
            meta_file: where ``isolate`` writes how its own child ended.
        """
        if not isinstance(pid, int) or pid <= 0:
            execution.finish(MISSING_EVIDENCE)
            return
        earlier = self._children.get(pid)
        if earlier is not None:
            self._end_lost(earlier)
        self.cleanups.on_reused(pid)
        try:
            child = self._children[pid] = Child(pid, execution, Observations(pid, prepared=prepared))
            child.meta_file = meta_file
            if self._asks_for_samples:
                child.samples = _first_samples(pid, execution.site.name, self._settings)
            # Nobody can reap a child if SIGCHLD is ignored; only its pidfd then says how it ended.
            lost = getsignal(signal.SIGCHLD) == signal.SIG_IGN
            if lost or child.samples is not None or not caller_waits:
                self.watch(child)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.spawn", error)

    def on_reaped(
        self,
        child: Child,
        exit_status: ExitStatus,
        usage: resource.struct_rusage | None,
        zombie: Zombie = NOT_INSPECTED,
        *,
        on_watcher_thread: bool = False,
    ) -> None:
        """End the execution of a child that the program has reaped.

        Args:
            child: that was reaped.
            exit_status: how it ended.
            usage: what the kernel reported when it was reaped.
            zombie: what was read before it was reaped.
            on_watcher_thread: end the execution on the watcher's thread.
        """
        if not self._remove(child):
            self.cleanups.on_late_reap(child.pid)
            return
        self.cleanups.on_reaped(child)
        if on_watcher_thread and self._watcher is not None:
            self._watcher.submit(partial(end_execution, child, exit_status, zombie, usage, self._recorder))
        else:
            end_execution(child, exit_status, zombie, usage, self._recorder)

    def on_success(self, child: Child, usage: resource.struct_rusage) -> bool:
        """Do what `on_reaped` does, for a child that has succeeded and was not the leader of a process group.

        Returns:
            False if there is more to be recorded of it.
        """
        if child.is_eventful():
            return False
        if self._remove(child):
            end_success(child, usage, self._recorder)
        else:
            self.cleanups.on_late_reap(child.pid)
        return True

    def end_unregistered(self, execution: Execution, exit_status: ExitStatus) -> None:
        """End the execution of a child that was never registered, because C code has waited for it.

        Args:
            execution: begun before the child was spawned.
            exit_status: how the child ended.
        """
        child = Child(_NO_PID, execution, Observations(_NO_PID))
        end_execution(child, exit_status, NOT_INSPECTED, None, self._recorder)

    def on_reaped_in_c(self, pid: int, execution: Execution, exit_status: ExitStatus) -> None:
        """End the execution of a child that C code has reaped.

        Args:
            pid: of the child.
            execution: of the child; its process id may already be that of another one.
            exit_status: how it ended.
        """
        child = self.get(pid)
        if child is not None and child.execution is execution:
            child.mark_exited()
            self.on_reaped(child, exit_status, None)

    def on_status_lost(self, child: Child) -> None:
        """End the execution of a child whose exit status was collected by other code.

        Not if it may have been collected by another thread of the program, which then ends the execution itself.
        """
        if not child.reapers:
            self._end_lost(child)

    def _end_lost(self, child: Child) -> None:
        status = child.lost_status
        if status is None and self._watcher is not None:
            status = self._watcher.lost_status(child)
        if not self._remove(child):
            return
        self.cleanups.on_lost(child)
        if status is None:
            finish(child, MISSING_EVIDENCE, self._recorder)
        else:
            end_execution(child, status, NOT_INSPECTED, None, self._recorder)

    def end_if_exited(self, child: Child, verdict_if_running: Verdict | None = None) -> None:
        """End the execution of a child that has exited, and leave the zombie for the program to reap.

        Args:
            child: that the program may never wait for.
            verdict_if_running: end the execution of a running child too, with this verdict.
        """
        if self.get(child.pid) is not child:
            return
        try:
            exited = wait_without_reaping(child.pid, os.WNOHANG) if CAN_INSPECT_ZOMBIES else None
        except ChildProcessError:
            self.on_status_lost(child)
            return
        if exited is not None:
            child.mark_exited()
            zombie = inspect_zombie(child.pid, exited)
        elif verdict_if_running is None:
            return
        if child.reapers and verdict_if_running is None:
            # The program is about to reap it, or has done so in the meantime, and learns more from the kernel.
            self._later(partial(self.end_if_exited, child))
            return
        self.cleanups.on_unreaped(child)
        if not self._remove(child):
            self.cleanups.forget(child)
        elif exited is not None:
            end_execution(child, exited, zombie, None, self._recorder)
        elif verdict_if_running is not None:
            finish(child, verdict_if_running, self._recorder)

    def close(self, *, at_exit: bool = False) -> None:
        """End all open executions, when the program ends or instrumentation is removed.

        Args:
            at_exit: the program ends.
        """
        self.forked.close()
        for child in self.children():
            self.end_if_exited(child, STILL_RUNNING)
        self.cleanups.close(at_exit=at_exit)
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()

    def after_fork_in_child(self) -> None:
        """Forget everything: these are children of the forked process's parent."""
        watcher, self._watcher = self._watcher, None
        self._children.clear()
        self.cleanups.after_fork_in_child()
        _observed_wait.after_fork_in_child()
        self.forked.after_fork_in_child()
        if watcher is not None:
            watcher.abandon()

    def watch(self, child: Child) -> None:
        """Have the watcher observe the exit of a child, from now on."""
        child.pidfd = child.pidfd or "fallback"  # unless the watcher can open one
        try:
            # Started by the first child: a program that starts none keeps its file descriptors as they are.
            with self._watcher_lock:
                watcher = self._started_watcher()
                watcher.add(child)
            if self.get(child.pid) is not child:  # another thread has ended its execution in the meantime
                watcher.remove(child)
        except (AttributeError, OSError):
            pass  # without pidfds, an exit is observed when the program waits
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.watcher", error)

    def read(self, child: Child) -> bool:
        """Have the watcher read a child while the program itself waits for its exit.

        Returns:
            False if the watcher cannot, or is too slow: a child may reach its memory limit soon.
        """
        if child.observed.limited:
            return False
        if not child.is_read:
            try:
                watcher = self._watcher
                if watcher is None:
                    with self._watcher_lock:
                        watcher = self._started_watcher()
                watcher.read(child)
            except (AttributeError, OSError, RuntimeError):
                return False  # there are no pidfds, or no thread can be started any more
            child.pidfd = child.pidfd or "native"
        return True

    def unwatch(self, child: Child) -> int | None:
        """Stop watching a child while the program itself waits for it, unless it is sampled.

        Returns:
            Its pidfd, which the caller has to close, or None.
        """
        if self._watcher is not None and child.samples is None:
            return self._watcher.release(child)
        return None

    def _later(self, task: Callable[[], None]) -> None:
        try:
            with self._watcher_lock:
                self._started_watcher().submit_later(task)
        except (AttributeError, OSError, RuntimeError):
            task()  # there are no pidfds, or no thread can be started any more

    def _started_watcher(self) -> ExitWatcher:
        if self._watcher is None:
            self._watcher = ExitWatcher(self.end_if_exited, self._is_registered)
        return self._watcher

    def _is_registered(self, child: Child) -> bool:
        return self._children.get(child.pid) is child

    def _remove(self, child: Child) -> bool:
        """Remove a child and return whether it was there: only one caller gets True."""
        if self._children.get(child.pid) is not child or self._children.pop(child.pid, None) is not child:
            return False
        if self._watcher is not None:
            self._watcher.remove(child)
        return True


def _first_samples(pid: int, program: str, settings: SubprocessSettings) -> Samples:
    # Not imported before: most programs do not ask for samples.
    from sandscope_instrumentation_subprocess._measures._samples import Samples

    samples = Samples(settings, program)
    samples.take(pid, at_start=True)
    return samples
