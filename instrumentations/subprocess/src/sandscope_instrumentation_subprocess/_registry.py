"""The children that run now."""

from __future__ import annotations

import os
import resource
import signal
import threading
from functools import cache, partial
from typing import Any
from weakref import WeakSet

from opentelemetry.semconv._incubating.attributes.process_attributes import PROCESS_EXIT_CODE, PROCESS_PID

from sandscope.instrumentation import MISSING_EVIDENCE, OK, Execution, Verdict, report_error
from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._evidence import (
    CAN_LOOK,
    SUCCESS,
    Ending,
    Zombie,
    ending_of_zombie,
    gather,
    limit,
    look_at_zombie,
)
from sandscope_instrumentation_subprocess._verdicts import STILL_RUNNING, verdict_of
from sandscope_instrumentation_subprocess._watcher import Watcher

SIGNAL = "sandbox.process.signal"

NOT_LOOKED_AT = Zombie()


class Registry:
    """Children by process id, from spawn to end. A child leaves it once, whoever sees its end first."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._watcher: Watcher | None = None
        self._starting = threading.RLock()
        _registries.add(self)
        _forget_at_fork()

    def get(self, pid: Any) -> Child | None:
        """Return the child with a process id, if it is one of ours."""
        return self._children.get(pid) if isinstance(pid, int) else None

    def all(self) -> list[Child]:
        """Return all children that run now."""
        return list(self._children.values())

    def add(self, pid: Any, execution: Execution, *, waited_for: bool = False) -> None:
        """Take over an execution whose child has been spawned.

        Args:
            pid: of the child.
            execution: begun before.
            waited_for: whether the program waits for it now: then there is nothing to watch, unless it polls.
        """
        if not isinstance(pid, int) or pid <= 0:
            execution.finish(MISSING_EVIDENCE)
            return
        reused = self._children.get(pid)
        if reused is not None:
            self.lost(reused)
        try:
            execution.set_attributes({PROCESS_PID: pid})
            child = self._children[pid] = Child(pid, execution)
            child.memory_limit = limit(pid, resource.RLIMIT_AS)
            if child.memory_limit is not None or not waited_for:
                self.watch(child)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.spawn", error)

    def reaped(
        self,
        child: Child,
        ending: Ending,
        usage: resource.struct_rusage | None,
        zombie: Zombie = NOT_LOOKED_AT,
        *,
        elsewhere: bool = False,
    ) -> None:
        """End the execution of a child that the program has reaped.

        Args:
            child: it.
            ending: how it ended.
            usage: what the kernel told with it.
            zombie: what was seen of it before.
            elsewhere: end it on the watcher's thread.
        """
        if not self._take(child):
            return
        if elsewhere and self._watcher is not None:
            self._watcher.submit(partial(self._end, child, ending, zombie, usage))
        else:
            self._end(child, ending, zombie, usage)

    def lost(self, child: Child) -> None:
        """End the execution of a child that others have reaped."""
        if self._take(child):
            child.execution.finish(MISSING_EVIDENCE, end_time=child.exit_time)

    def settle(self, child: Child, unended: Verdict | None = None) -> None:
        """End the execution of a child that has exited, and leave it for the program to reap.

        Args:
            child: one that the program may never wait for.
            unended: end it with this verdict if it still runs.
        """
        if self.get(child.pid) is not child:
            return
        try:
            ending = ending_of_zombie(child.pid, os.WNOHANG) if CAN_LOOK else None
        except ChildProcessError:
            self.lost(child)
            return
        if ending is not None:
            child.saw_exit()
            zombie = look(child, ending)
            if self._take(child):
                self._end(child, ending, zombie, None)
        elif unended is not None and self._take(child):
            child.execution.finish(unended)

    def close(self) -> None:
        """End all that is open, at the end of the program or of the instrumentation."""
        for child in self.all():
            self.settle(child, STILL_RUNNING)
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()
        _registries.discard(self)

    def forget(self) -> None:
        """Drop everything in a forked child: the children are its parent's."""
        watcher, self._watcher = self._watcher, None
        self._children.clear()
        self._starting = threading.RLock()
        if watcher is not None:
            watcher.abandon()

    def watch(self, child: Child) -> None:
        """Let the watcher see the exit of a child, from now on if it does not yet."""
        try:
            # Not before there is a child: a program without any keeps exactly the descriptors that it has.
            with self._starting:
                if self._watcher is None:
                    self._watcher = Watcher(self.settle)
                self._watcher.add(child)
        except (AttributeError, OSError):
            pass  # ends are then seen where the program waits
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.watcher", error)

    def unwatch(self, child: Child) -> None:
        """Spare the watcher a child while the program itself waits for it."""
        if self._watcher is not None and child.memory_limit is None:
            self._watcher.forget(child)

    def _take(self, child: Child) -> bool:
        if self._children.get(child.pid) is not child or self._children.pop(child.pid, None) is not child:
            return False
        if self._watcher is not None:
            self._watcher.forget(child)
        return True

    def _end(
        self, child: Child, ending: Ending, zombie: Zombie, usage: resource.struct_rusage | None
    ) -> None:
        execution, verdict = child.execution, MISSING_EVIDENCE
        try:
            if ending.signal is not None:
                execution.set_attributes({SIGNAL: _signal_name(ending.signal)})
            elif ending.exit_code is not None:
                execution.set_attributes({PROCESS_EXIT_CODE: ending.exit_code})
            verdict = OK if ending == SUCCESS else verdict_of(gather(child, ending, zombie, usage))
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.end", error)
        execution.finish(verdict, end_time=child.exit_time)


def look(child: Child, ending: Ending) -> Zombie:
    """Look at a zombie, unless it ended well: then nothing has to be explained."""
    if ending == SUCCESS:
        return NOT_LOOKED_AT
    try:
        return look_at_zombie(child.pid)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.end", error)
        return NOT_LOOKED_AT


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


_registries: WeakSet[Registry] = WeakSet()


@cache
def _forget_at_fork() -> None:
    os.register_at_fork(after_in_child=_forget_all)


def _forget_all() -> None:
    for registry in list(_registries):
        registry.forget()
