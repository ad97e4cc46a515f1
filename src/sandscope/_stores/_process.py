"""Processes that outlive this one: start one, know it again later, end it.

A process is known by its id *and* its start time, so that another one that was given the same id since is
never taken for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def start(command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> int:
    """Start a process in a session of its own, with its output in a file.

    Args:
        command: its binary and arguments.
        environment: all its variables.
        log: file to write stdout and stderr to; emptied first.

    Returns:
        Its process id.
    """
    words = [os.fspath(word) for word in command]
    # Not Popen: it warns about, and expects to wait for, what is meant to run on.
    return os.posix_spawn(
        words[0],
        words,
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def start_time(pid: int) -> str | None:
    """Return when a process was started, in the system's own form; nothing when it does not run."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    if sys.platform != "linux":
        listed = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
        state, _, since = listed.partition(" ")
    else:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, since = fields[0], fields[19]
    return None if not since or state.startswith("Z") else since.strip()


def end(processes: Iterable[tuple[int, str]], *, patience: float = 10.0) -> None:
    """End processes together: SIGTERM, then SIGKILL for those that stay.

    Args:
        processes: process ids and their start times; one that runs no more, or is another now, is left alone.
        patience: seconds to wait after each signal.
    """
    left = list(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [(pid, since) for pid, since in left if start_time(pid) == since]
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = [(pid, since) for pid, since in left if start_time(pid) == since]
