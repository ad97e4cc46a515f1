"""Which features of the kernel confine children, and are used to observe them."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import Any

import pytest

from harness import lacking
from sandscope_instrumentation_subprocess._evidence._cgroup import Cgroup
from sandscope_instrumentation_subprocess._evidence._cgroup_counters import CgroupUsage, Counters
from sandscope_instrumentation_subprocess._evidence._cgroup_observation import CgroupObservation, observe
from sandscope_instrumentation_subprocess._measures import _backends


def modes(ended: Any) -> dict[str, float]:
    """Return the number of children by the way in which their exit was observed."""
    return {a["sandbox.pidfd.mode"]: n for a, n in ended.telemetry.points("sandbox.backend.pidfd")}


def test_exits_are_observed_by_pidfds(ended: Any) -> None:
    if not hasattr(os, "pidfd_open"):
        lacking("pidfds need Linux 5.3")
    for _ in range(3):
        subprocess.Popen(["true"]).wait()
    ended.all(3)
    assert modes(ended) == {"native": 3}


def test_without_pidfds(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def pidfd_open(*_: Any) -> int:
        raise OSError(errno.ENOSYS, "no such system call")

    monkeypatch.setattr(os, "pidfd_open", pidfd_open, raising=False)
    subprocess.Popen(["true"]).wait()
    ended.one()
    assert modes(ended) == {"fallback": 1}


def test_a_child_that_could_not_start_is_not_counted(ended: Any) -> None:
    with pytest.raises(FileNotFoundError):
        subprocess.Popen(["/no/such/program"])
    ended.one()
    assert modes(ended) == {}


def versions(ended: Any) -> dict[str, float]:
    """Return the number of children by the version of the cgroup that confines them."""
    return {a["sandbox.cgroup.version"]: n for a, n in ended.telemetry.points("sandbox.backend.cgroup")}


def test_a_cgroup_of_its_own(ended: Any, own_cgroup: Any) -> None:
    subprocess.run(["sleep", "0.3"], preexec_fn=own_cgroup.enter, check=True)
    version = ended.one()["sandbox.cgroup.version"]
    assert version == ("v2" if (own_cgroup.folder / "cgroup.events").exists() else "v1")
    assert versions(ended) == {version: 1}


def test_the_cgroup_of_the_program(ended: Any) -> None:
    subprocess.run(["sleep", "0.5"], check=True)
    assert "sandbox.cgroup.version" not in ended.one()
    assert versions(ended) == {"none": 1}


@pytest.mark.parametrize(
    ("cgroup", "version"),
    [
        (Cgroup("v2", "/a", "/a", "/a", "/a"), "v2"),
        (Cgroup("v1", "/memory/a", None, None, None), "v1"),
        (Cgroup("v1", "/memory/a", "/pids/a", None, "/unified/a"), "v1"),
        (Cgroup("v1", None, None, None, "/unified/a"), "v2"),
    ],
)
def test_the_version_is_that_of_the_childs_own_folders(cgroup: Cgroup, version: str) -> None:
    observed = CgroupObservation(b"", cgroup, True, Counters(), CgroupUsage(), 0.0)
    assert _backends._version(observed) == version
    assert _backends._version(observed._replace(own=False)) == "none"


def test_a_zombie_says_nothing_of_the_cgroups_that_it_has_left() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert observe(child.pid, None) is None
    child.wait()
