"""What the kernel counts for a cgroup: kills for lack of memory, refused processes, memory and CPU time used."""

from __future__ import annotations

from typing import NamedTuple

from sandscope_instrumentation_subprocess._evidence._cgroup import Cgroup
from sandscope_instrumentation_subprocess._evidence._proc import read_file


class Counters(NamedTuple):
    """Counts since the cgroup was made, or those between two readings; None means not known.

    Attributes:
        oom_kills: processes that the kernel killed for lack of memory.
        memory_limit_hits: times that the memory limit was reached, whether or not the kernel could make room.
        process_limit_hits: processes that were refused because of the limit of their number.
    """

    oom_kills: int | None = None
    memory_limit_hits: int | None = None
    process_limit_hits: int | None = None

    def since(self, earlier: Counters) -> Counters:
        """Return the counts between an earlier reading and this one."""
        pairs = zip(self, earlier, strict=True)
        return Counters(*(None if a is None or b is None else max(0, a - b) for a, b in pairs))


NOT_COUNTED = Counters()


class CgroupUsage(NamedTuple):
    """What the processes of a cgroup have used; None means not known.

    Attributes:
        memory_peak: bytes, page cache included.
        cpu_time: seconds.
    """

    memory_peak: int | None = None
    cpu_time: float | None = None

    def since(self, earlier: CgroupUsage) -> CgroupUsage:
        """Return what was used between an earlier reading and this one.

        A peak is known only if it has grown: otherwise it may be that of earlier processes.
        """
        grown = self.memory_peak is not None and self.memory_peak > (earlier.memory_peak or 0)
        known = self.cpu_time is not None and earlier.cpu_time is not None
        return CgroupUsage(
            self.memory_peak if grown else None,
            (self.cpu_time or 0.0) - (earlier.cpu_time or 0.0) if known else None,
        )


def read_counters(cgroup: Cgroup) -> Counters:
    """Read the counters of a cgroup."""
    refused = _keyed(cgroup.pids, "pids.events", b"max")
    if cgroup.memory is None or cgroup.memory == cgroup.unified:
        return Counters(
            _keyed(cgroup.memory, "memory.events", b"oom_kill"),
            _keyed(cgroup.memory, "memory.events", b"max"),
            refused,
        )
    return Counters(
        _keyed(cgroup.memory, "memory.oom_control", b"oom_kill"),
        _number(cgroup.memory, "memory.failcnt"),
        refused,
    )


def read_usage(cgroup: Cgroup) -> CgroupUsage:
    """Read the peak of memory and the CPU time of a cgroup."""
    version_2 = cgroup.memory == cgroup.unified
    peak = _number(cgroup.memory, "memory.peak" if version_2 else "memory.max_usage_in_bytes")
    if cgroup.cpu == cgroup.unified:
        microseconds = _keyed(cgroup.cpu, "cpu.stat", b"usage_usec")
        return CgroupUsage(peak, None if microseconds is None else microseconds / 1e6)
    nanoseconds = _number(cgroup.cpu, "cpuacct.usage")
    return CgroupUsage(peak, None if nanoseconds is None else nanoseconds / 1e9)


def _number(folder: str | None, name: str) -> int | None:
    text = b"" if folder is None else read_file(f"{folder}/{name}").strip()
    return int(text) if text.isdigit() else None


def _keyed(folder: str | None, name: str, key: bytes) -> int | None:
    """Return a value of a file that has a key and a number in each line."""
    if folder is None:
        return None
    for line in read_file(f"{folder}/{name}").splitlines():
        found, _, value = line.partition(b" ")
        if found == key and value.isdigit():
            return int(value)
    return None
