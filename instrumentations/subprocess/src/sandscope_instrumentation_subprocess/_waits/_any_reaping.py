"""Reaping by a function that may reap any child: the one that it will reap is looked for, and inspected before."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from typing import Any, TypeAlias

from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._evidence import (
    CAN_INSPECT_ZOMBIES,
    NOT_INSPECTED,
    ExitStatus,
    find_exited,
    inspect_zombie,
)
from sandscope_instrumentation_subprocess._registry import Registry
from sandscope_instrumentation_subprocess._waits._sigchld import handler_may_reap

Reaped: TypeAlias = "tuple[int, ExitStatus | None, resource.struct_rusage | None]"
"""The process id, 0 if there is none; how it ended, None if it has not; and what the kernel reports of its use."""

_CAN_LOOK_WITH = os.WNOHANG | getattr(os, "WUNTRACED", 0) | getattr(os, "WCONTINUED", 0)
"""The options of ``waitpid`` that ``waitid`` understands, too."""

_OWN_ERRORS = {errno.EAGAIN, errno.EBADF, errno.ECHILD, errno.EINVAL}
"""Of ``waitid``."""

_MOST = (1 << 31) - 1
"""The greatest process id, and descriptor, that the kernel takes."""


def reap(
    registry: Registry,
    target: tuple[Any, Any],
    options: Any,
    call: Callable[[int | None], Any],
    read: Callable[[Any], Reaped],
) -> Any:
    """Call a function that reaps a child, and end the execution of that child.

    Args:
        registry: of the children.
        target: ``os.P_PID`` or another constant for ``os.waitid``, and the number that goes with it.
        options: as given to ``waitpid``.
        call: receives the process id of the child that is to be reaped, or None: it waits as the program has asked.
        read: reads what ``call`` returns.

    Returns:
        What ``call`` returns, or None: no child has ended, and ``os.WNOHANG`` is given.
    """
    while True:
        reaping = _Reaping(registry)
        try:
            if not reaping.look(*target, options):
                return None
            result = call(reaping.found)
        except ChildProcessError:
            if reaping.found is None or target[0] == os.P_PID:
                reaping.give_up()
                raise
            continue  # another thread has reaped it
        else:
            reaping.end(*read(result))
            return result
        finally:
            reaping.close()


class _Reaping:
    """One attempt.

    Attributes:
        found: the process id of a child that has exited; None if it was not looked for, or has only stopped.
    """

    def __init__(self, registry: Registry) -> None:
        self.found: int | None = None
        self._registry = registry
        self._child: Child | None = None
        self._zombie = NOT_INSPECTED

    def look(self, kind: Any, number: Any, options: Any) -> bool:
        """Wait for an exit, and inspect the zombie; return False if there is none, and the program does not wait."""
        self._registry.forked.find_executed()
        if kind == os.P_PID:
            self._claim(number)
        if not self._can_look(kind, number, options):
            return True
        try:
            exited, nothing = find_exited(kind, number, options)
        except OSError as error:
            if error.errno not in _OWN_ERRORS:
                raise  # by a signal handler of the program, such as TimeoutError
            return True  # the program gets this error next
        if exited is None:
            return not nothing
        self._registry.forked.find_executed()
        self.found = exited[0]
        if self._child is None:
            self._claim(self.found)
        if self._child is not None:
            self._child.mark_exited()
            self._zombie = inspect_zombie(*exited)
        return True

    def end(self, pid: int, exit_status: ExitStatus | None, usage: resource.struct_rusage | None) -> None:
        """End the execution of the child that was reaped, if it has one."""
        if not pid or exit_status is None:
            return
        self._registry.forked.find_executed()  # where it could not be looked at before
        child = self._registry.get(pid)
        if child is None:
            self._registry.cleanups.on_late_reap(pid)
            self._registry.forked.on_reaped(pid)
            return
        zombie = self._zombie if self.found == pid else NOT_INSPECTED
        self._registry.on_reaped(child, exit_status, usage, zombie)

    def close(self) -> None:
        """Leave the child to others, unless it was reaped."""
        child, self._child = self._child, None
        if child is not None:
            child.reapers.pop()

    def give_up(self) -> None:
        """Note that the child has been reaped by others, perhaps outside of Python."""
        child = self._child
        self.close()
        if child is not None:
            self._registry.on_status_lost(child)

    def _claim(self, pid: Any) -> None:
        self._child = self._registry.get(pid)
        if self._child is not None:
            self._child.reapers.append(None)

    def _can_look(self, kind: Any, number: Any, options: Any) -> bool:
        if not CAN_INSPECT_ZOMBIES or not isinstance(options, int) or options & ~_CAN_LOOK_WITH:
            return False
        if not isinstance(number, int) or not 0 <= number <= _MOST:
            return False
        polls_any = bool(options & os.WNOHANG) and kind != os.P_PID
        if (
            handler_may_reap() and not polls_any
        ):  # such a poll tries again; the handler itself polls like this
            return False
        if kind == os.P_PID:
            return self._child is not None or self._registry.forked.pending
        # Children may be started while it waits.
        return not polls_any or not self._registry.is_empty()
