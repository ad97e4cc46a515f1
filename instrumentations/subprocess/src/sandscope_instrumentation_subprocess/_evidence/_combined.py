"""Everything that a verdict is based on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sandscope_instrumentation_subprocess._evidence._exit_status import SUCCESS, ExitStatus
from sandscope_instrumentation_subprocess._evidence._proc import MemoryPeaks
from sandscope_instrumentation_subprocess._evidence._usage import Usage
from sandscope_instrumentation_subprocess._evidence._zombie import NOT_INSPECTED, Zombie
from sandscope_instrumentation_subprocess._sites import SHELL

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._child import Child, SentSignal
    from sandscope_instrumentation_subprocess._evidence._cgroup_observation import CgroupEvidence
    from sandscope_instrumentation_subprocess._evidence._isolate_meta import IsolateMeta


class Evidence(NamedTuple):
    """Everything that a verdict is based on; None means not known.

    Attributes:
        exit_code: if the child exited.
        signal: the number of the signal that ended it.
        zombie: what was read between its exit and its reaping.
        memory: the peaks; that of resident memory is as the kernel reported it, if it did.
        cpu_limit: the soft limit of CPU time that was read while it ran, in seconds.
        cgroup: what the kernel has counted for its cgroup.
        sent_signals: the signals that this program sent to it.
        program: the file name of the executable.
        is_shell: whether it was started as a shell.
        told: whether exit code or signal are those of the child's own child, as the child tells.
        meta: what ``isolate`` says, if the child is one that names a file for it.
        lacks_meta: whether ``isolate`` has not written this file.
        contradictory: whether two sources disagree on how it ended.
    """

    exit_code: int | None = None
    signal: int | None = None
    zombie: Zombie = NOT_INSPECTED
    memory: MemoryPeaks = MemoryPeaks()
    cpu_limit: int | None = None
    cgroup: CgroupEvidence | None = None
    sent_signals: tuple[SentSignal, ...] = ()
    program: str | None = None
    is_shell: bool = False
    told: bool = False
    meta: IsolateMeta | None = None
    lacks_meta: bool = False
    contradictory: bool = False


def needs_evidence(child: Child, exit_status: ExitStatus) -> bool:
    """Return whether more is to be known of a child than that it has succeeded."""
    cgroup = child.observed.cgroup
    return exit_status != SUCCESS or child.meta_file is not None or (cgroup is not None and cgroup.own)


def collect_evidence(child: Child, exit_status: ExitStatus, zombie: Zombie, usage: Usage) -> Evidence:
    """Combine everything that is known about a child that has ended.

    Args:
        child: with what was observed while it ran.
        exit_status: how it ended.
        zombie: what was read before it was reaped.
        usage: what it has used.
    """
    # Not imported before: most children succeed.
    from sandscope_instrumentation_subprocess._evidence._cgroup_observation import conclude
    from sandscope_instrumentation_subprocess._evidence._isolate_meta import read_meta

    site, observed = child.execution.site, child.observed
    meta = None if child.meta_file is None else read_meta(child.meta_file, child.execution.start_time)
    resident = max(usage.memory_peak or 0, observed.memory.resident or 0) or None
    return Evidence(
        exit_status.exit_code,
        exit_status.signal,
        zombie,
        observed.memory._replace(resident=resident),
        observed.cpu_limit,
        conclude(observed.cgroup, zombie.membership),
        tuple(child.sent_signals.values()),
        site.name,
        is_shell=bool(site.attributes.get(SHELL)),
        meta=meta,
        lacks_meta=child.meta_file is not None and meta is None,
        contradictory=child.contradictory,
    )
