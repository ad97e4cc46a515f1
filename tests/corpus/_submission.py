"""A submission: a program, its limits and its verdict."""

from __future__ import annotations

import textwrap
from typing import Literal, NamedTuple

OK = ("OK", "guest", "normal_exit")
RE = ("RE", "guest", "re_nonzero_exit")
FAULT = ("SIG", "guest", "re_fatal_signal")
UNKNOWN = ("SIG", "unknown", "sig_unattributed")
CPU = ("TLE", "kernel", "tle_cpu_kernel")
WALL = ("TLE", "host", "tle_wall_judge")
NOT_STARTED = ("IE", "host", "ie_supervisor_failure")
MEMORY = ("MLE", "kernel", "mle_limit_breach")
OUTPUT = ("FSE", "kernel", "fse_limit_exceeded")
SECCOMP = ("SV", "kernel", "sv_seccomp")

MIB = 1 << 20


class Submission(NamedTuple):
    """A program, its limits and its verdict.

    Attributes:
        name: of the submission.
        source: of the program: a Python program, a shell script, or the body of a function in C.
        verdict: the status, the actor and the cause that it must get.
        cpu: its soft limit of CPU time in seconds; the hard limit is a second more.
        wall: its limit of time in seconds.
        memory: its limit of address space in bytes.
        output: its limit of a file's size in bytes.
        processes: its limit of processes, as a user who has no others.
        files: its limit of open files.
        stop: the first signal when its time is over; SIGKILL follows.
        stdin: whether its standard input is empty, or stays open without data.
        stdout: whether its output is discarded, or goes to a pipe that is not read, or that is closed.
    """

    name: str
    source: str
    verdict: tuple[str, str, str]
    cpu: int | None = None
    wall: float | None = None
    memory: int | None = None
    output: int | None = None
    processes: int | None = None
    files: int | None = None
    stop: Literal["kill", "term"] = "kill"
    stdin: Literal["empty", "open"] = "empty"
    stdout: Literal["discarded", "unread", "closed"] = "discarded"

    @property
    def text(self) -> str:
        """The source without indentation."""
        return textwrap.dedent(self.source).strip() + "\n"
