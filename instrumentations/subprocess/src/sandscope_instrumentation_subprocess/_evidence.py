"""What can be known of a child that has ended, from its zombie and from what this program did to it."""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from sandscope_instrumentation_subprocess._child import Child

CAN_LOOK = hasattr(os, "waitid")
"""Whether the system shows a child between its exit and its reaping."""

_SECCOMP_DEAD = b"Seccomp:\t3"
_RSS_UNCERTAINTY = 1 << 20


class Ending(NamedTuple):
    """How the kernel says that a process ended: one of the two is known."""

    exit_code: int | None
    signal: int | None


SUCCESS = Ending(0, None)


class Zombie(NamedTuple):
    """What the kernel still knows of a process that has ended and is not reaped.

    Attributes:
        cpu_time: seconds.
        cpu_limit: seconds, the hard limit.
        memory_limit: bytes of address space.
        seccomp_killed: whether a seccomp filter killed it.
    """

    cpu_time: float | None = None
    cpu_limit: int | None = None
    memory_limit: int | None = None
    seccomp_killed: bool = False


class Evidence(NamedTuple):
    """All that a verdict may rest on; None is not known.

    Attributes:
        exit_code: if it ended by itself.
        signal: the number of the signal that ended it.
        cpu_time: seconds.
        cpu_limit: seconds, the hard limit.
        memory_limit: bytes of address space.
        memory_peak: bytes of address space, or of resident memory.
        seccomp_killed: whether a seccomp filter killed it.
        sent: signals that this program sent to it, each with whether that was after a timeout.
    """

    exit_code: int | None = None
    signal: int | None = None
    cpu_time: float | None = None
    cpu_limit: int | None = None
    memory_limit: int | None = None
    memory_peak: int | None = None
    seccomp_killed: bool = False
    sent: tuple[tuple[int, bool], ...] = ()


def ending_of_status(status: int) -> Ending | None:
    """Return what a status of ``waitpid`` says; None if the process has only stopped or continued."""
    if os.WIFEXITED(status):
        return Ending(os.WEXITSTATUS(status), None)
    if os.WIFSIGNALED(status):
        return Ending(None, os.WTERMSIG(status))
    return None


def ending_of_zombie(pid: int, options: int = 0) -> Ending | None:
    """Wait for a child's exit without reaping it.

    Args:
        pid: of a child.
        options: ``os.WNOHANG`` or 0.

    Returns:
        None if it still runs.

    Raises:
        ChildProcessError: if others have reaped it.
    """
    information = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | options)
    if information is None:
        return None
    if information.si_code == os.CLD_EXITED:
        return Ending(information.si_status, None)
    return Ending(None, information.si_status)


def look_at_zombie(pid: int) -> Zombie:
    """Read what is left of a child that has ended and is not reaped."""
    return Zombie(
        _cpu_time(pid),
        limit(pid, resource.RLIMIT_CPU, hard=True),
        limit(pid, resource.RLIMIT_AS),
        _SECCOMP_DEAD in _read(pid, "status"),
    )


def gather(child: Child, ending: Ending, zombie: Zombie, usage: resource.struct_rusage | None) -> Evidence:
    """Put together what is known of a child that has ended.

    Args:
        child: what was seen while it ran.
        ending: how it ended.
        zombie: what was left of it.
        usage: what the kernel told when it was reaped.
    """
    return Evidence(
        ending.exit_code,
        ending.signal,
        zombie.cpu_time,
        zombie.cpu_limit,
        zombie.memory_limit,
        child.memory_peak if usage is None else max(child.memory_peak or 0, _resident_peak(usage) or 0),
        zombie.seccomp_killed,
        tuple(child.sent),
    )


def limit(pid: int, which: int, *, hard: bool = False) -> int | None:
    """Return a resource limit of a process; None if there is none or it cannot be read."""
    try:
        value = resource.prlimit(pid, which)[hard]
    except (AttributeError, OSError):
        return None
    return None if value == resource.RLIM_INFINITY else value


def memory_peak(pid: int) -> int | None:
    """Return how many bytes of address space a running process has had; None if it has ended."""
    _, found, rest = _read(pid, "status").partition(b"VmPeak:")
    return int(rest.split(maxsplit=1)[0]) * 1024 if found else None


def _resident_peak(usage: resource.struct_rusage) -> int | None:
    # Until it has grown past it, a child is billed for the peak of the parent it was spawned from.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = usage.ru_maxrss * 1024
    return peak if peak > own + _RSS_UNCERTAINTY else None


def _cpu_time(pid: int) -> float | None:
    # The name in front of the last parenthesis may hold anything, spaces as well.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    if len(fields) < 13:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123 -- on the way of every failed child
            return file.read()
    except OSError:
        return b""
