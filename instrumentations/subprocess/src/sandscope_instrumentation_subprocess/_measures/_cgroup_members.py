"""The processes in a cgroup of a child's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandscope_instrumentation_subprocess._evidence._proc import read_file

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._child import Child


def own_folder(child: Child) -> str | None:
    """Return a folder of the child's own cgroup; None if it has none, or was not observed in it."""
    observed = child.observed.cgroup
    if observed is None or not observed.own:
        return None
    cgroup = observed.cgroup
    return cgroup.unified or cgroup.pids or cgroup.memory or cgroup.cpu


def count_cgroup_members(folder: str) -> int:
    """Return the number of processes in a cgroup and in those inside it; zombies do not count."""
    return sum(len(read_file(f"{inside}/cgroup.procs").split()) for inside, _, _ in os.walk(folder))
