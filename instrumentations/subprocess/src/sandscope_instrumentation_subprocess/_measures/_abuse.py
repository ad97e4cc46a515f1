"""Abuse patterns: a child that has more processes or open file descriptors than the user's thresholds allow."""

from __future__ import annotations

import os
from typing import NamedTuple

from sandscope_instrumentation_subprocess._evidence._cgroup import differs_from_own, locate, read_membership
from sandscope_instrumentation_subprocess._evidence._proc import read_file
from sandscope_instrumentation_subprocess._measures._process_tree import descendants

_MOST_PROCESSES = 1000


class Pattern(NamedTuple):
    """A pattern that was found.

    Attributes:
        name: of the pattern.
        usage: the greatest number that was observed.
        threshold: from which on it is a pattern.
    """

    name: str
    usage: int
    threshold: int


class Abuse:
    """The greatest numbers that are observed of one child."""

    def __init__(self, processes: int | None, descriptors: int | None) -> None:
        """Begin without an observation.

        Args:
            processes: from how many at a time on they are a fork bomb.
            descriptors: from how many open file descriptors of a process on they are exhausted.
        """
        self._thresholds = {"fork_bomb": processes, "fd_exhaustion": descriptors}
        self._usage = dict.fromkeys(self._thresholds, 0)
        self._pids_folder: str | None = None
        self._peak_before = 0

    @property
    def patterns(self) -> list[Pattern]:
        """Those whose threshold was reached."""
        return [
            Pattern(name, self._usage[name], threshold)
            for name, threshold in self._thresholds.items()
            if threshold is not None and self._usage[name] >= threshold
        ]

    def take(self, pid: int, *, at_start: bool = False) -> None:
        """Read how many processes and descriptors a running child has.

        Args:
            pid: of the child.
            at_start: it has just started, and has none of its own.
        """
        self._find_cgroup(pid)
        if at_start or not any(self._thresholds.values()):
            return
        processes = descendants(pid, max(self._thresholds["fork_bomb"] or 0, _MOST_PROCESSES))
        self._grow("fork_bomb", len(processes))
        if self._thresholds["fd_exhaustion"] is not None:
            self._grow("fd_exhaustion", max(map(_count_descriptors, processes)))
        self._take_peak()

    def take_zombie(self) -> None:
        """Read what the kernel has counted for the child's cgroup."""
        self._take_peak()

    def _grow(self, name: str, usage: int) -> None:
        self._usage[name] = max(self._usage[name], usage)

    def _find_cgroup(self, pid: int) -> None:
        if self._pids_folder is not None or self._thresholds["fork_bomb"] is None:
            return
        membership = read_membership(pid)
        if differs_from_own(membership):
            folder = locate(membership).pids
            self._pids_folder = None if folder == locate(read_membership("self")).pids else folder
            self._peak_before = self._read_peak()

    def _take_peak(self) -> None:
        peak = self._read_peak()
        if peak > self._peak_before:  # otherwise, it may be that of earlier processes
            self._grow("fork_bomb", peak)

    def _read_peak(self) -> int:
        text = b"" if self._pids_folder is None else read_file(f"{self._pids_folder}/pids.peak").strip()
        return int(text) if text.isdigit() else 0


def _count_descriptors(pid: int) -> int:
    folder = f"/proc/{pid}/fd"
    try:
        return os.stat(folder).st_size or len(os.listdir(folder))  # noqa: PTH116, PTH208 -- before Linux 6.2, it is 0
    except OSError:
        return 0
