"""Start processes that outlive this one, and stop them later.

A process is identified by its id *and* its start time, because the operating system reuses ids.
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
    """Start a process in its own session, with its output in a file.

    Args:
        command: the path of its binary, and its arguments.
        environment: all of its environment variables.
        log: the file for its standard output and error; emptied first.

    Returns:
        Its process id.
    """
    words = [os.fspath(word) for word in command]
    # Not Popen, which warns about a child that is still running when the Popen object is freed.
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
    """Return when a process started, in the form that the system gives; None if it is not running."""
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


def stop(processes: Iterable[tuple[int, str]], *, timeout: float = 10.0) -> None:
    """Stop processes together: send SIGTERM, then SIGKILL to those that are still running.

    Args:
        processes: process ids and start times; an id that belongs to another process by now is left alone.
        timeout: how long to wait after each signal, in seconds.
    """
    left = list(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [(pid, since) for pid, since in left if start_time(pid) == since]
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + timeout
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = [(pid, since) for pid, since in left if start_time(pid) == since]
