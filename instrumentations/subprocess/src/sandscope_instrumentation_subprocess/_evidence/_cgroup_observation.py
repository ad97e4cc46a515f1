"""What the kernel counts for a child's cgroup from when it is first seen until the child has ended."""

from __future__ import annotations

import time
from typing import NamedTuple

from sandscope_instrumentation_subprocess._evidence._cgroup import (
    Cgroup,
    contains,
    differs_from_own,
    locate,
    own_folders_of,
    read_membership,
)
from sandscope_instrumentation_subprocess._evidence._cgroup_counters import (
    NOT_COUNTED,
    CgroupUsage,
    Counters,
    read_counters,
    read_usage,
)
from sandscope_instrumentation_subprocess._evidence._proc import has_exited

_SHARED_FOR = 1.0
"""Seconds for which one reading of this program's own cgroup serves all children in it."""

_shared: CgroupObservation | None = None


class CgroupObservation(NamedTuple):
    """A cgroup and what had been counted for it at first.

    Attributes:
        membership: as it is read.
        cgroup: its folders.
        own: whether it is the child's: this program is in another one.
        counters: at first.
        usage: at first, of a child's own cgroup.
        time: of the first reading, in seconds of ``time.monotonic``.
    """

    membership: bytes
    cgroup: Cgroup
    own: bool
    counters: Counters
    usage: CgroupUsage
    time: float


class CgroupEvidence(NamedTuple):
    """What the kernel has counted for a cgroup while the child ran.

    Attributes:
        own: whether the cgroup is the child's, and not that of this program.
        exact: whether the counts are of that time: otherwise they may be of earlier children in the same cgroup.
        counters: the counts.
        usage: what was used, of a child's own cgroup.
    """

    own: bool = False
    exact: bool = False
    counters: Counters = NOT_COUNTED
    usage: CgroupUsage = CgroupUsage()


NO_CGROUP = CgroupEvidence()


def observe(pid: int, earlier: CgroupObservation | None) -> CgroupObservation | None:
    """Return what is observed of the cgroup of a running child.

    Args:
        pid: of the child.
        earlier: the earlier observation: is kept unless the child has changed its cgroup.
    """
    membership = read_membership(pid)
    # A zombie seems to have left its cgroups of version 1, and is no reason to count anew.
    if not membership or (earlier is not None and contains(earlier.membership, membership)):
        return earlier
    if differs_from_own(membership):
        return _observe(membership, own=True)
    if earlier is None and has_exited(pid):
        return None  # of version 1, it may have been in any cgroup
    return earlier or _observe_shared()


def conclude(observed: CgroupObservation | None, zombie_membership: bytes) -> CgroupEvidence:
    """Return what has been counted until now.

    Args:
        observed: while the child ran.
        zombie_membership: of the child after its exit, in case that it was not observed before.
    """
    if observed is None:
        if not differs_from_own(zombie_membership):
            return NO_CGROUP
        return CgroupEvidence(own=True, counters=read_counters(own_folders_of(zombie_membership)))
    counters = read_counters(observed.cgroup).since(observed.counters)
    usage = read_usage(observed.cgroup).since(observed.usage) if observed.own else CgroupUsage()
    return CgroupEvidence(observed.own, True, counters, usage)


def _observe(membership: bytes, *, own: bool) -> CgroupObservation:
    cgroup = own_folders_of(membership) if own else locate(membership)
    usage = read_usage(cgroup) if own else CgroupUsage()
    return CgroupObservation(membership, cgroup, own, read_counters(cgroup), usage, time.monotonic())


def _observe_shared() -> CgroupObservation:
    global _shared  # noqa: PLW0603 -- one reading for all children at about the same time
    if _shared is None or time.monotonic() > _shared.time + _SHARED_FOR:
        _shared = _observe(read_membership("self"), own=False)
    return _shared
