"""Run a program as an execution that the instrumentation of subprocess records, within limits."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from sandscope._cli._forwarded_signals import ForwardedSignals
from sandscope._cli._limits import Limits
from sandscope._cli._process_tree import Descendants, OwnGroup

if TYPE_CHECKING:
    import resource

_GRACE = 2.0
"""Seconds from SIGTERM to SIGKILL when the time is over."""
_INTERVAL = 0.02
"""Seconds between two looks at the processes that are left."""


class Ended(NamedTuple):
    """How a program has ended.

    Attributes:
        status: its wait status.
        usage: what the kernel says that it and its own children have used; None if another has reaped it.
        own_peak: bytes, the peak of this process's memory, which the kernel reports for a smaller child.
    """

    status: int
    usage: resource.struct_rusage | None
    own_peak: int


class TracedProgram:
    """A program in this process's place, with its standard streams, terminal and signals."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        signals: ForwardedSignals,
        limits: Limits,
    ) -> None:
        """Start it.

        Args:
            command: the path of its file, and its arguments.
            environment: its environment variables, to which the trace context is added.
            signals: are passed on to it.
            limits: that it has to keep.

        Raises:
            OSError: if it cannot be started.
        """
        own_group = limits.wall is not None and not _in_foreground()
        set_limits = limits.setter()

        def prepare() -> None:
            if own_group:
                os.setpgid(0, 0)
            signals.unblock()
            if set_limits is not None:
                set_limits()

        # `prepare` takes no lock that a thread of this process may hold. Descriptors that this process has inherited,
        # such as those of make, are the command's; its own are closed when the command starts.
        self._process = subprocess.Popen(command, env=environment, preexec_fn=prepare, close_fds=False)  # noqa: PLW1509
        pid = self._process.pid
        self._processes = OwnGroup(pid) if own_group else Descendants(pid)
        self._out_of_time: float | None = None
        signals.pass_on(pid, in_same_group=not own_group)
        if limits.wall is not None:
            threading.Thread(target=self._end_in_time, args=[limits.wall], daemon=True).start()

    def wait(self) -> Ended:
        """Wait until it has ended, and if its time was over, its other processes, too."""
        ended = self._reap(_own_memory_peak())
        if self._out_of_time is not None:
            deadline = self._out_of_time + _GRACE
            while self._processes.send(0) and time.monotonic() < deadline:
                time.sleep(_INTERVAL)
            self._processes.send(signal.SIGKILL)
        return ended

    def _reap(self, own_peak: int) -> Ended:
        # As `Popen.wait` does it, but with what the kernel says of its use.
        lock: Any = self._process._waitpid_lock  # type: ignore[attr-defined] # not in the stubs
        with lock:
            if self._process.returncode is None:
                with suppress(ChildProcessError):
                    _, status, usage = os.wait4(self._process.pid, 0)
                    self._process.returncode = os.waitstatus_to_exitcode(status)
                    return Ended(status, usage, own_peak)
        code = self._process.wait()
        return Ended(-code if code < 0 else code << 8, None, own_peak)

    def _end_in_time(self, seconds: float) -> None:
        """Send SIGTERM to all processes when the time is over, and SIGKILL after a while."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._out_of_time = time.monotonic()
            self._processes.send(signal.SIGTERM)
            self._processes.send(signal.SIGCONT)  # a process that is stopped cannot end
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._processes.send(signal.SIGKILL)


def _in_foreground() -> bool:
    """Return whether a terminal sends its signals to this process's group, and lets it read."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _own_memory_peak() -> int:
    import resource

    # Not `getrusage` if possible: this process, too, has inherited what that reports from a larger parent.
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123 -- starts fast
            return next(
                (int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), inherited
            )
    except OSError:
        return inherited
