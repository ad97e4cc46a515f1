"""The limits that the kernel enforces on one process."""

from __future__ import annotations

import resource
from typing import NamedTuple

from sandscope_instrumentation_subprocess._evidence._proc import read_file


class Limits(NamedTuple):
    """Limits in force, which a process may have set itself; None means unlimited, or not known.

    Attributes:
        cpu: seconds, the soft limit: one more than before if the kernel has sent SIGXCPU.
        cpu_hard: seconds.
        memory: bytes of address space.
        data: bytes of private data.
        output: bytes of a file.
        processes: of the user.
        descriptors: open files of the process.
    """

    cpu: int | None = None
    cpu_hard: int | None = None
    memory: int | None = None
    data: int | None = None
    output: int | None = None
    processes: int | None = None
    descriptors: int | None = None


UNLIMITED = Limits()

# macOS has no `prlimit`, and not all of these limits are known everywhere.
_prlimit = getattr(resource, "prlimit", None)
_ONE_VALUE = [
    getattr(resource, name, None)
    for name in ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_NOFILE")
]
_AS, _DATA = resource.RLIMIT_AS, resource.RLIMIT_DATA
_TITLES = (
    b"Max cpu time",
    b"Max address space",
    b"Max data size",
    b"Max file size",
    b"Max processes",
    b"Max open files",
)
"""The lines of ``/proc/<pid>/limits``, in the same order."""


def read_limits(pid: int) -> Limits:
    """Return the limits of a process, also of a zombie; those that cannot be read are None."""
    try:
        soft, hard = _read(pid, resource.RLIMIT_CPU)
        return Limits(soft, hard, *(_read(pid, which)[0] for which in _ONE_VALUE))
    except PermissionError:
        return _parse(read_file(f"/proc/{pid}/limits"))  # of another user: slower, and anybody may read it


def has_memory_limit(pid: int) -> bool:
    """Return whether the address space or the private data of a process is limited."""
    if _prlimit is None:
        return False
    try:
        infinite = resource.RLIM_INFINITY
        return bool(_prlimit(pid, _AS)[0] != infinite or _prlimit(pid, _DATA)[0] != infinite)
    except ProcessLookupError:
        return False
    except PermissionError:
        limits = read_limits(pid)
        return limits.memory is not None or limits.data is not None


def own_limits() -> Limits:
    """Return the limits of this process, which children inherit."""
    return read_limits(0)


def _read(pid: int, which: int | None) -> tuple[int | None, int | None]:
    if _prlimit is None or which is None:
        return None, None
    try:
        soft, hard = _prlimit(pid, which)
    except PermissionError:
        raise
    except OSError:
        return None, None
    return _finite(soft), _finite(hard)


def _parse(text: bytes) -> Limits:
    lines = text.splitlines()
    rows = [
        next((line[len(title) :].split() for line in lines if line.startswith(title)), [])
        for title in _TITLES
    ]
    soft, hard = ([_number(row[position : position + 1]) for row in rows] for position in (0, 1))
    return Limits(soft[0], hard[0], *soft[1:])


def _number(field: list[bytes]) -> int | None:
    return int(field[0]) if field and field[0].isdigit() else None


def _finite(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value
