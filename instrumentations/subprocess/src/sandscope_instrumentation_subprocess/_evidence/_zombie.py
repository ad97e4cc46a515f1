"""What the kernel still knows of a process that has ended and is not reaped."""

from __future__ import annotations

from typing import NamedTuple

from sandscope.instrumentation import report_error
from sandscope_instrumentation_subprocess._evidence._cgroup import read_membership
from sandscope_instrumentation_subprocess._evidence._exit_status import SUCCESS, ExitStatus
from sandscope_instrumentation_subprocess._evidence._limits import UNLIMITED, Limits, read_limits
from sandscope_instrumentation_subprocess._evidence._proc import (
    Io,
    killed_by_seccomp,
    read_cpu_time,
    read_io,
)


class Zombie(NamedTuple):
    """What the kernel still knows of a process that has ended and is not reaped; None means not known.

    Attributes:
        user_time: seconds.
        system_time: seconds.
        limits: in force at its end.
        seccomp_killed: whether a seccomp filter killed it.
        io: what it has read and written.
        membership: the cgroups that it was in, of version 2.
    """

    user_time: float | None = None
    system_time: float | None = None
    limits: Limits = UNLIMITED
    seccomp_killed: bool = False
    io: Io = Io()
    membership: bytes = b""

    @property
    def cpu_time(self) -> float | None:
        """Seconds of CPU time."""
        if self.user_time is None or self.system_time is None:
            return None
        return self.user_time + self.system_time


NOT_INSPECTED = Zombie()


def inspect_zombie(pid: int, exit_status: ExitStatus) -> Zombie:
    """Read what the kernel still knows about a zombie, unless it succeeded: success needs no explanation."""
    if exit_status == SUCCESS:
        return NOT_INSPECTED
    try:
        user, system = read_cpu_time(pid) or (None, None)
        return Zombie(
            user,
            system,
            read_limits(pid),
            killed_by_seccomp(pid),
            read_io(pid),
            read_membership(pid),
        )
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.end", error)
        return NOT_INSPECTED
