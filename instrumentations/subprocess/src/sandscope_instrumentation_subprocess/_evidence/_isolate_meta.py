"""The meta file of ``isolate``, in which this sandbox says how its own child ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

_MOST = 1 << 14
"""Bytes of a meta file that are read; it has a few hundred."""

_CLOCK_UNCERTAINTY = 1_000_000_000
"""Nanoseconds: file systems may note the time of a change less precisely than the clock does."""

_STATUSES = ("RE", "SG", "TO", "XX")


class IsolateMeta(NamedTuple):
    """What ``isolate`` says of its child; None means that it does not say it.

    Attributes:
        status: exited with an error, ended by a signal, out of time, or an error of ``isolate`` itself; None if the
            child succeeded.
        exit_code: of the child.
        signal: that ended it.
        wall: whether the time that was over is wall-clock time.
        oom_killed: whether the kernel killed it for lack of memory.
        cpu_time: seconds.
        memory_peak: bytes of the cgroup, or else of resident memory.
    """

    status: Literal["RE", "SG", "TO", "XX"] | None = None
    exit_code: int | None = None
    signal: int | None = None
    wall: bool = False
    oom_killed: bool = False
    cpu_time: float | None = None
    memory_peak: int | None = None


def meta_file_of(args: Any, cwd: Any) -> str | None:
    """Return the path of the meta file that a command line of ``isolate`` names.

    Args:
        args: as given to ``Popen``: only a list or a tuple is read.
        cwd: as given to ``Popen``.
    """
    if not isinstance(args, (list, tuple)):
        return None
    path = _named([os.fsdecode(word) for word in args[1:]])
    if path is None:
        return None
    return os.path.join(os.fsdecode(cwd) if cwd is not None else os.getcwd(), path)  # noqa: PTH109, PTH118 -- bytes too


def read_meta(path: str, started: int) -> IsolateMeta | None:
    """Read a meta file.

    Args:
        path: of the file.
        started: nanoseconds since 1970: an older file is that of an earlier child.

    Returns:
        None if there is no such file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would make it wait
    except (OSError, ValueError):
        return None
    try:
        if os.fstat(descriptor).st_mtime_ns < started - _CLOCK_UNCERTAINTY:
            return None
        return _parse(os.read(descriptor, _MOST).decode(errors="replace"))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _named(words: Sequence[str]) -> str | None:
    found = None
    for position, word in enumerate(words):
        if word == "--":
            break
        if word.startswith("--meta="):
            found = word.removeprefix("--meta=")
        elif word in {"--meta", "-M"}:
            found = next(iter(words[position + 1 :]), None)
        elif word.startswith("-M"):
            found = word.removeprefix("-M")
    return found or None


def _parse(text: str) -> IsolateMeta:
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    status: Any = fields.get("status")
    kibibytes = _number(fields.get("cg-mem")) or _number(fields.get("max-rss"))
    exit_code, signal = _number(fields.get("exitcode")), _number(fields.get("exitsig"))
    return IsolateMeta(
        status if status in _STATUSES else None,
        None if exit_code is None else int(exit_code),
        None if signal is None else int(signal),
        "wall" in fields.get("message", "").lower(),
        bool(_number(fields.get("cg-oom-killed"))),
        _number(fields.get("time")),
        None if kibibytes is None else int(kibibytes * 1024),
    )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
