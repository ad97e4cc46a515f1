"""The evidence of how a child ended: its zombie, and what this program did to it."""

from __future__ import annotations

import os
import resource
from typing import Any, NamedTuple

from sandscope.instrumentation import report_error
from sandscope_instrumentation_subprocess._child import Child, SentSignal
from sandscope_instrumentation_subprocess._sites import SHELL

_waitid: Any = getattr(os, "waitid", None)  # without the wrapper

CAN_INSPECT_ZOMBIES = _waitid is not None
"""Whether a child can be inspected between its exit and its reaping."""

_KILLED_BY_SECCOMP = b"Seccomp:\t3"
_RSS_UNCERTAINTY = 1 << 20


class ExitStatus(NamedTuple):
    """How a process ended, according to the kernel: one of the two is not None."""

    exit_code: int | None
    signal: int | None


SUCCESS = ExitStatus(0, None)


class Zombie(NamedTuple):
    """What the kernel still knows about a process that has ended and is not reaped.

    Attributes:
        cpu_time: seconds.
        cpu_soft_limit: seconds, one more than before if the kernel has sent SIGXCPU.
        cpu_limit: seconds, the hard limit.
        memory_limit: bytes of address space.
        output_limit: bytes of a file.
        seccomp_killed: whether a seccomp filter killed it.
    """

    cpu_time: float | None = None
    cpu_soft_limit: int | None = None
    cpu_limit: int | None = None
    memory_limit: int | None = None
    output_limit: int | None = None
    seccomp_killed: bool = False


NOT_INSPECTED = Zombie()


class Evidence(NamedTuple):
    """Everything that a verdict is based on; None means not known.

    Attributes:
        exit_code: if the child exited.
        signal: the number of the signal that ended it.
        zombie: what was read between its exit and its reaping.
        memory_peak: bytes of address space, or of resident memory.
        sent_signals: the signals that this program sent to it.
        program: the file name of the executable.
        is_shell: whether it was started as a shell.
        told: whether the signal is the one that a shell says has ended its own child.
    """

    exit_code: int | None = None
    signal: int | None = None
    zombie: Zombie = NOT_INSPECTED
    memory_peak: int | None = None
    sent_signals: tuple[SentSignal, ...] = ()
    program: str | None = None
    is_shell: bool = False
    told: bool = False


def decode_status(status: int) -> ExitStatus | None:
    """Decode a status of ``waitpid``; None if the process has only stopped or continued."""
    if os.WIFEXITED(status):
        return ExitStatus(os.WEXITSTATUS(status), None)
    if os.WIFSIGNALED(status):
        return ExitStatus(None, os.WTERMSIG(status))
    return None


def wait_without_reaping(pid: int, options: int = 0) -> ExitStatus | None:
    """Wait for a child's exit and leave it as a zombie.

    Args:
        pid: of a child.
        options: ``os.WNOHANG`` or 0.

    Returns:
        None if it still runs.

    Raises:
        ChildProcessError: if it has been reaped already.
    """
    information = _waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | options)
    return None if information is None else decode_exit(information)


def find_exited(kind: int, number: int, options: int = 0) -> tuple[int, ExitStatus] | None:
    """Wait for the exit of one of several children and leave it as a zombie.

    Args:
        kind: ``os.P_ALL`` or another constant for ``os.waitid``.
        number: as given to ``os.waitid``.
        options: ``os.WNOHANG`` or 0.

    Returns:
        The process id and how it ended; None if all still run.

    Raises:
        OSError: if there is no such child.
    """
    information = _waitid(kind, number, os.WEXITED | os.WNOWAIT | options)
    exit_status = None if information is None else decode_exit(information)
    return None if exit_status is None else (information.si_pid, exit_status)


def decode_exit(information: Any) -> ExitStatus | None:
    """Decode a result of ``waitid``; None if the process has only stopped or continued."""
    if information.si_code == os.CLD_EXITED:
        return ExitStatus(information.si_status, None)
    if information.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
        return ExitStatus(None, information.si_status)
    return None


def inspect_zombie(pid: int, exit_status: ExitStatus) -> Zombie:
    """Read what the kernel still knows about a zombie, unless it succeeded: success needs no explanation."""
    if exit_status == SUCCESS:
        return NOT_INSPECTED
    try:
        return Zombie(
            _cpu_time(pid),
            read_limit(pid, resource.RLIMIT_CPU),
            read_limit(pid, resource.RLIMIT_CPU, hard=True),
            read_limit(pid, resource.RLIMIT_AS),
            read_limit(pid, resource.RLIMIT_FSIZE),
            _KILLED_BY_SECCOMP in _read(pid, "status"),
        )
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.end", error)
        return NOT_INSPECTED


def collect_evidence(
    child: Child, exit_status: ExitStatus, zombie: Zombie, usage: resource.struct_rusage | None
) -> Evidence:
    """Combine everything that is known about a child that has ended.

    Args:
        child: with what was observed while it ran.
        exit_status: how it ended.
        zombie: what was read before it was reaped.
        usage: what the kernel reported when it was reaped.
    """
    site = child.execution.site
    return Evidence(
        exit_status.exit_code,
        exit_status.signal,
        zombie,
        child.memory_peak if usage is None else max(child.memory_peak or 0, _resident_peak(usage) or 0),
        tuple(child.sent_signals.values()),
        site.name,
        is_shell=bool(site.attributes.get(SHELL)),
    )


def read_limit(pid: int, which: int, *, hard: bool = False) -> int | None:
    """Return a resource limit of a process; None if it is unlimited or cannot be read."""
    try:
        value = resource.prlimit(pid, which)[hard]
    except (AttributeError, OSError):
        return None
    return None if value == resource.RLIM_INFINITY else value


def read_memory_peak(pid: int) -> int | None:
    """Return the peak of a running process's address space in bytes; None if it has ended."""
    _, found, rest = _read(pid, "status").partition(b"VmPeak:")
    return int(rest.split(maxsplit=1)[0]) * 1024 if found else None


def _resident_peak(usage: resource.struct_rusage) -> int | None:
    # The kernel reports the parent's peak for a spawned child until the child's own is higher.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = usage.ru_maxrss * 1024
    return peak if peak > own + _RSS_UNCERTAINTY else None


def _cpu_time(pid: int) -> float | None:
    # The process name in parentheses may contain anything, spaces and parentheses as well.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    if len(fields) < 13:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123 -- delays the end of each failed child
            return file.read()
    except OSError:
        return b""
