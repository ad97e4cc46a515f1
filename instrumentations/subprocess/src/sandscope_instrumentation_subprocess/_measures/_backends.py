"""Which features of the kernel confine a child, and are used to observe it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sandscope.instrumentation import Measurement, Metric, Recorder, Value

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._child import Child, PidfdMode
    from sandscope_instrumentation_subprocess._evidence._cgroup_observation import CgroupObservation

CGROUP = Metric(
    "sandbox.backend.cgroup", "counter", "{execution}", "Executions whose cgroup was observed, by its version"
)
PIDFD = Metric(
    "sandbox.backend.pidfd",
    "counter",
    "{execution}",
    "Executions whose end was observed, with a pidfd or without",
)

CgroupVersion = Literal["v1", "v2", "none"]
"""The version of the cgroup that confines a child, or none: it is in the cgroup of the program."""

VERSION = "sandbox.cgroup.version"

_SITE: dict[str, Value] = {"sandbox.runtime": "subprocess", "sandbox.operation": "process"}
_VERSIONS: tuple[CgroupVersion, ...] = ("v1", "v2", "none")
_MODES: tuple[PidfdMode, ...] = ("native", "fallback")

# Always the same objects, which makes them inexpensive.
_CGROUP_COUNTS: dict[CgroupVersion, tuple[Measurement, ...]] = {
    version: ((CGROUP, 1, {**_SITE, VERSION: version}),) for version in _VERSIONS
}
_PIDFD_COUNTS: dict[PidfdMode, tuple[Measurement, ...]] = {
    mode: ((PIDFD, 1, {**_SITE, "sandbox.pidfd.mode": mode}),) for mode in _MODES
}


def count_backends(child: Child, recorder: Recorder) -> None:
    """Count the backends of a child that has ended, as far as they are known.

    Args:
        child: a child that ended before its cgroup was read has no known version.
        recorder: takes the counts.
    """
    if child.pidfd is not None:
        recorder.measure_all(_PIDFD_COUNTS[child.pidfd])
    if child.observed.cgroup is not None:
        version = _version(child.observed.cgroup)
        recorder.measure_all(_CGROUP_COUNTS[version])
        if version != "none":
            child.execution.set_attributes({VERSION: version})


def _version(observed: CgroupObservation) -> CgroupVersion:
    if not observed.own:
        return "none"
    cgroup = observed.cgroup
    folders = {cgroup.memory, cgroup.pids, cgroup.cpu} - {None, cgroup.unified}
    return "v1" if folders else "v2"
