"""What is read of a child while it runs, because its zombie no longer tells it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandscope.instrumentation import report_error
from sandscope_instrumentation_subprocess._evidence._limits import Limits, has_memory_limit, read_limits
from sandscope_instrumentation_subprocess._evidence._proc import MemoryPeaks, read_memory_peaks

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._evidence._cgroup_observation import CgroupObservation
    from sandscope_instrumentation_subprocess._evidence._network import NetworkUsage

_FIRST, _LONGEST = 0.02, 1.0
"""Seconds from a child's start until it is first read, and between two readings; doubled each time."""

_FIRST_OF_LIMITED, _LONGEST_OF_LIMITED = 0.001, 0.01
"""The same for a child with a memory limit, which may reach it soon."""


_NO_PEAKS = MemoryPeaks()


class Observations:
    """What was read of a running child. Most children end before they are read for the first time.

    Attributes:
        due: when to read next, in seconds of ``time.monotonic``.
        cpu_limit: the lowest soft limit of CPU time so far, in seconds: the kernel raises it with each SIGXCPU.
        limited: whether it has a memory limit, which it may reach soon.
        limits: when it was last read; None if it was not.
        memory: the greatest values so far.
        cgroup: what is observed of its cgroup, once it has been read.
        network: what it had sent and received when it was last read, if its network namespace is its own.
    """

    __slots__ = ("_interval", "cgroup", "cpu_limit", "due", "limited", "limits", "memory", "network")

    def __init__(self, pid: int, *, prepared: bool = False) -> None:
        """Begin to observe a child.

        Args:
            pid: of a child that has just started.
            prepared: whether code of the program ran in it before: then its cgroup is read at once.
        """
        self.cpu_limit: int | None = None
        self.limits: Limits | None = None
        self.memory = _NO_PEAKS
        self.cgroup: CgroupObservation | None = None
        self.network: NetworkUsage | None = None
        self.limited = has_memory_limit(pid)
        self._interval = _FIRST_OF_LIMITED if self.limited else _FIRST
        self.due = time.monotonic() + self._interval
        if prepared:
            self._observe_groups(pid)

    def take(self, pid: int) -> None:
        """Read what is known of the child, and decide when to do so next."""
        try:
            self._take(pid)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.observe", error)
        self._interval = min(2 * self._interval, _LONGEST_OF_LIMITED if self.limited else _LONGEST)
        self.due = time.monotonic() + self._interval

    def _take(self, pid: int) -> None:
        limits = self.limits = read_limits(pid)
        self.limited = limits.memory is not None or limits.data is not None
        if limits.cpu is not None:
            self.cpu_limit = min(limits.cpu, self.cpu_limit or limits.cpu)
        pairs = zip(self.memory, read_memory_peaks(pid), strict=True)
        self.memory = MemoryPeaks(*(max(a or 0, b or 0) or None for a, b in pairs))
        if self._interval >= _LONGEST_OF_LIMITED:
            self._observe_groups(pid)

    def _observe_groups(self, pid: int) -> None:
        try:  # not imported before: most programs start no child that lives long enough
            from sandscope_instrumentation_subprocess._evidence._cgroup_observation import observe
            from sandscope_instrumentation_subprocess._evidence._network import read_network
        except OSError:
            return  # the program has no file descriptors left

        self.cgroup = observe(pid, self.cgroup)
        self.network = read_network(pid) or self.network
