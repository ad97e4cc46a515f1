"""The limits of `sandscope exec`: read from the command line, and set in the child before the program starts."""

from __future__ import annotations

import argparse
import math
import os
import re
import resource
from collections.abc import Callable
from typing import NamedTuple

from sandscope._errors import SandscopeError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)(?:iB|B)?", re.IGNORECASE)
_CPU_GRACE = 1
"""Seconds of CPU time from SIGXCPU to SIGKILL."""


class Limits(NamedTuple):
    """What a program may use; None for what is not limited.

    Attributes:
        cpu: seconds of CPU time of each process.
        wall: seconds from the start of the program to its end.
        memory: bytes of address space of each process.
        processes: the number of processes and threads of the user.
        output: bytes of each file that is written.
    """

    cpu: int | None = None
    wall: float | None = None
    memory: int | None = None
    processes: int | None = None
    output: int | None = None

    def setter(self) -> Callable[[], None] | None:
        """Return a function that sets the limits in the child, except for that of `wall`; None if there is none."""
        chosen = [
            (resource.RLIMIT_CPU, self.cpu, _CPU_GRACE),
            (resource.RLIMIT_AS, self.memory, 0),
            (resource.RLIMIT_NPROC, self.processes, 0),
            (resource.RLIMIT_FSIZE, self.output, 0),
        ]
        pairs = [(which, _pair(which, soft, grace)) for which, soft, grace in chosen if soft is not None]
        if not pairs:
            return None

        def set_limits() -> None:
            for which, pair in pairs:
                resource.setrlimit(which, pair)

        return set_limits


def add_limits_to(parser: argparse.ArgumentParser) -> None:
    """Register the options of the limits."""
    parser.add_argument("--cpu", metavar="SECONDS", help="CPU time of each process, a whole number (SIGXCPU)")
    parser.add_argument(
        "--wall",
        metavar="SECONDS",
        help="time from start to end; then SIGTERM, and SIGKILL 2 s later, to all processes of the command",
    )
    parser.add_argument(
        "--memory", metavar="SIZE", help="address space of each process, such as 512M or 2GiB"
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        help="processes and threads of the user, other programs' included, as `ulimit -u` counts them",
    )
    parser.add_argument("--output", metavar="SIZE", help="size of each file that is written (SIGXFSZ)")


def limits_of(arguments: argparse.Namespace) -> Limits:
    """Return the limits that the options of `add_limits_to` ask for.

    Raises:
        SandscopeError: if a value cannot be read, or if the kernel would not enforce the limit.
    """
    limits = Limits(
        cpu=_count("--cpu", arguments.cpu, "a whole number of seconds, at least 1"),
        wall=_seconds("--wall", arguments.wall),
        memory=_size("--memory", arguments.memory),
        processes=_count("--processes", arguments.processes, "a whole number, at least 1"),
        output=_size("--output", arguments.output),
    )
    if limits.processes is not None and not _processes_can_be_limited():
        raise SandscopeError(
            "Cannot limit --processes: the kernel does not apply this limit to this user, as to root. "
            "Run the command as another user."
        )
    return limits


def _count(flag: str, text: str | None, expected: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) < resource.RLIM_INFINITY % (1 << 63):
        raise _unreadable(flag, text, expected)
    return int(text)


def _seconds(flag: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 1e9:
        raise _unreadable(flag, text, "a number of seconds, more than 0")
    return seconds


def _size(flag: str, text: str | None) -> int | None:
    if text is None:
        return None
    found = _SIZE.fullmatch(text)
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if not 0 < size < 1 << 62:
        raise _unreadable(flag, text, "a number of bytes, more than 0, with K, M, G or T for powers of 1024")
    return size


def _unreadable(flag: str, text: str, expected: str) -> SandscopeError:
    return SandscopeError(
        f"Cannot read {flag} {text!r}: it is not {expected}. For example: {_EXAMPLES[flag]}"
    )


_EXAMPLES = {
    "--cpu": "--cpu 10",
    "--wall": "--wall 60",
    "--memory": "--memory 512M",
    "--processes": "--processes 64",
    "--output": "--output 10M",
}


def _pair(which: int, soft: int, grace: int) -> tuple[int, int]:
    """Return a soft and a hard limit. A stricter hard limit, which this process has inherited, stays."""
    hard = resource.getrlimit(which)[1]
    if hard == resource.RLIM_INFINITY:
        return soft, soft + grace
    return min(soft, hard), min(soft + grace, hard)


def _processes_can_be_limited() -> bool:
    """Return whether a process that may start no other one cannot: root and some other users still can."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        except OSError:
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
