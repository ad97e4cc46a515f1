"""What a child has used, as the kernel reports when it is reaped."""

from __future__ import annotations

import os
import resource
from functools import lru_cache
from typing import NamedTuple

from sandscope_instrumentation_subprocess._evidence._proc import read_memory_peaks

_BLOCK = 512
"""Bytes: the unit of ``ru_oublock``."""

_RSS_UNCERTAINTY = 1 << 20


class Usage(NamedTuple):
    """What a process has used, with the processes that it has waited for; None means not known.

    Attributes:
        user_time: seconds of CPU time in user mode.
        system_time: seconds of CPU time in the kernel.
        memory_peak: bytes of resident memory.
        disk_written: bytes written to files on disks, whether or not they have arrived there.
        voluntary_switches: how often it has waited.
        involuntary_switches: how often another process was given its processor.
    """

    user_time: float | None = None
    system_time: float | None = None
    memory_peak: int | None = None
    disk_written: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None

    @property
    def cpu_time(self) -> float | None:
        """Seconds of CPU time."""
        if self.user_time is None or self.system_time is None:
            return None
        return self.user_time + self.system_time


NOT_MEASURED = Usage()


def usage_of(reported: resource.struct_rusage) -> Usage:
    """Return what ``wait4`` has reported."""
    return Usage(
        reported.ru_utime,
        reported.ru_stime,
        _memory_peak(reported),
        reported.ru_oublock * _BLOCK,
        reported.ru_nvcsw,
        reported.ru_nivcsw,
    )


def _memory_peak(reported: resource.struct_rusage) -> int | None:
    # The kernel reports the parent's peak for a spawned child until the child's own is higher.
    peak = reported.ru_maxrss * 1024
    return peak if peak > _own_memory_peak() + _RSS_UNCERTAINTY else None


def _own_memory_peak() -> int:
    # `getrusage` is fast, but this process, too, may have inherited what it reports from a larger parent.
    reported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if reported > _inherited_peak():
        return reported
    return read_memory_peaks(os.getpid()).resident or reported


@lru_cache(maxsize=1)
def _inherited_peak() -> int:
    """Return the bytes that ``getrusage`` reports of the process before, 0 if they are this process's own."""
    reported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    own = read_memory_peaks(os.getpid()).resident or reported
    return reported if reported > own + _RSS_UNCERTAINTY else 0
