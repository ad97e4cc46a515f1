"""The limits that the kernel enforces on one process."""

from __future__ import annotations

import resource
from typing import NamedTuple


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


def read_limits(pid: int) -> Limits:
    """Return the limits of a process, also of a zombie; those that cannot be read are None."""
    soft, hard = _read(pid, resource.RLIMIT_CPU)
    return Limits(soft, hard, *(_read(pid, which)[0] for which in _ONE_VALUE))


def own_limits() -> Limits:
    """Return the limits of this process, which children inherit."""
    return read_limits(0)


def _read(pid: int, which: int | None) -> tuple[int | None, int | None]:
    if _prlimit is None or which is None:
        return None, None
    try:
        soft, hard = _prlimit(pid, which)
    except OSError:
        return None, None
    return _finite(soft), _finite(hard)


def _finite(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value
