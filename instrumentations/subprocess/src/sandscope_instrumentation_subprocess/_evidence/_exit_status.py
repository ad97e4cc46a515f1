"""How a process ended, by ``waitpid`` or by ``waitid``, which can leave it as a zombie."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

_waitid: Any = getattr(os, "waitid", None)  # without the wrapper

CAN_INSPECT_ZOMBIES = _waitid is not None
"""Whether a child can be inspected between its exit and its reaping."""


class ExitStatus(NamedTuple):
    """How a process ended, according to the kernel: one of the two is not None."""

    exit_code: int | None
    signal: int | None


SUCCESS = ExitStatus(0, None)


def decode_status(status: int) -> ExitStatus | None:
    """Decode a status of ``waitpid``; None if the process has only stopped or continued."""
    if not status:
        return SUCCESS
    if os.WIFEXITED(status):
        return ExitStatus(os.WEXITSTATUS(status), None)
    if os.WIFSIGNALED(status):
        return ExitStatus(None, os.WTERMSIG(status))
    return None


def decode_exit(information: Any) -> ExitStatus | None:
    """Decode a result of ``waitid``; None if the process has only stopped or continued."""
    if information.si_code == os.CLD_EXITED:
        if not information.si_status:
            return SUCCESS  # most children: no new object
        return ExitStatus(information.si_status, None)
    if information.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
        return ExitStatus(None, information.si_status)
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


def find_exited(kind: int, number: int, options: int = 0) -> tuple[tuple[int, ExitStatus] | None, bool]:
    """Wait for the exit of one of several children and leave it as a zombie.

    Args:
        kind: ``os.P_ALL`` or another constant for ``os.waitid``.
        number: as given to ``os.waitid``.
        options: ``os.WNOHANG``, ``os.WSTOPPED`` and ``os.WCONTINUED``, or 0.

    Returns:
        The process id and how it ended; None if all still run, and then whether nothing else has happened to them
        either: none has stopped or continued.

    Raises:
        OSError: if there is no such child.
    """
    information = _waitid(kind, number, os.WEXITED | os.WNOWAIT | options)
    exit_status = None if information is None else decode_exit(information)
    return None if exit_status is None else (information.si_pid, exit_status), information is None
