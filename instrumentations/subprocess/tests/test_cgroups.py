"""Cgroups: found by the mounted file systems, in trees of version 1, of version 2 and of both; and their counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandscope_instrumentation_subprocess._evidence import _cgroup
from sandscope_instrumentation_subprocess._evidence._cgroup import (
    Cgroup,
    differs_from_own,
    locate,
    read_membership,
)
from sandscope_instrumentation_subprocess._evidence._cgroup_counters import (
    CgroupUsage,
    Counters,
    read_counters,
    read_usage,
)

V2_MOUNTS = "30 23 0:26 {root} {top} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "31 23 0:27 / {top} rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:28 {root} {top}/memory rw - cgroup cgroup rw,memory\n"
    "33 31 0:29 {root} {top}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:30 {root} {top}/pids rw shared:9 - cgroup cgroup rw,pids\n"
    "35 31 0:31 / {top}/systemd rw - cgroup cgroup rw,name=systemd\n"
)
HYBRID_MOUNTS = V1_MOUNTS + "36 31 0:32 / {top}/unified rw - cgroup2 cgroup2 rw\n"

V2 = b"0::/judge/box\n"
V1 = b"4:memory:/judge/box\n3:cpu,cpuacct:/judge/box\n2:pids:/judge\n1:name=systemd:/judge/box\n"
HYBRID = V1 + b"0::/judge/scope\n"


def _text(mounts: str, top: Path, root: str = "/") -> bytes:
    escaped = str(top).replace(" ", r"\040")
    return mounts.format(top=escaped, root=root).encode()


def _write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)


def test_version_2(tmp_path: Path) -> None:
    box = str(tmp_path / "judge/box")
    assert locate(V2, _text(V2_MOUNTS, tmp_path)) == Cgroup("v2", box, box, box, box)


def test_version_1(tmp_path: Path) -> None:
    assert locate(V1, _text(V1_MOUNTS, tmp_path)) == Cgroup(
        "v1",
        str(tmp_path / "memory/judge/box"),
        str(tmp_path / "pids/judge"),
        str(tmp_path / "cpu,cpuacct/judge/box"),
        None,
    )


def test_both_versions(tmp_path: Path) -> None:
    cgroup = locate(HYBRID, _text(HYBRID_MOUNTS, tmp_path))
    assert cgroup.version == "v1"
    assert cgroup.memory == str(tmp_path / "memory/judge/box")
    assert cgroup.unified == str(tmp_path / "unified/judge/scope")


def test_controllers_of_version_2_beside_those_of_version_1(tmp_path: Path) -> None:
    mounts = (
        _text(HYBRID_MOUNTS, tmp_path).replace(b"rw,memory", b"rw,freezer").replace(b"rw,pids", b"rw,blkio")
    )
    cgroup = locate(b"4:freezer:/a\n0::/b\n", mounts)
    assert (cgroup.version, cgroup.memory, cgroup.pids) == ("v2", *[str(tmp_path / "unified/b")] * 2)


def test_a_mount_that_shows_a_part_of_the_tree(tmp_path: Path) -> None:
    mounts = _text(V2_MOUNTS, tmp_path, root="/docker/0123")
    assert locate(b"0::/docker/0123/box\n", mounts).memory == str(tmp_path / "box")
    assert locate(b"0::/docker/0123\n", mounts).memory == str(tmp_path)
    assert locate(b"0::/docker/01234\n", mounts).memory is None


@pytest.mark.parametrize("path", ["/../other", "/judge/box (deleted)"])
def test_a_cgroup_that_cannot_be_seen(tmp_path: Path, path: str) -> None:
    assert locate(f"0::{path}\n".encode(), _text(V2_MOUNTS, tmp_path)) == Cgroup("v2")


def test_a_mount_point_with_a_space(tmp_path: Path) -> None:
    top = tmp_path / "c group"
    assert locate(b"0::/a\n", _text(V2_MOUNTS, top)).memory == str(top / "a")


def test_no_cgroups_at_all() -> None:
    assert locate(b"", b"") == Cgroup("v2")
    assert read_counters(Cgroup("v2")) == Counters()
    assert read_usage(Cgroup("v2")) == CgroupUsage()


def test_counters_of_version_2(tmp_path: Path) -> None:
    _write(
        tmp_path / "judge/box",
        memory_events="low 0\nhigh 0\nmax 14\noom 1\noom_kill 1\noom_group_kill 0\n",
        pids_events="max 7\n",
        memory_peak="67108864\n",
        cpu_stat="usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
    )
    cgroup = locate(V2, _text(V2_MOUNTS, tmp_path))
    assert read_counters(cgroup) == Counters(oom_kills=1, memory_limit_hits=14, process_limit_hits=7)
    assert read_usage(cgroup) == CgroupUsage(67108864, 1.5)


@pytest.mark.parametrize("mounts", [V1_MOUNTS, HYBRID_MOUNTS], ids=["v1", "hybrid"])
def test_counters_of_version_1(tmp_path: Path, mounts: str) -> None:
    _write(
        tmp_path / "memory/judge/box",
        memory_oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        memory_failcnt="31\n",
        memory_max_usage_in_bytes="4096\n",
    )
    _write(tmp_path / "pids/judge", pids_events="max 1\n")
    _write(tmp_path / "cpu,cpuacct/judge/box", cpuacct_usage="250000000\n")
    cgroup = locate(HYBRID if mounts == HYBRID_MOUNTS else V1, _text(mounts, tmp_path))
    assert read_counters(cgroup) == Counters(oom_kills=2, memory_limit_hits=31, process_limit_hits=1)
    assert read_usage(cgroup) == CgroupUsage(4096, 0.25)


def test_a_kernel_that_does_not_count(tmp_path: Path) -> None:
    _write(tmp_path / "memory/judge/box", memory_oom_control="oom_kill_disable 0\nunder_oom 0\n")
    cgroup = locate(V1, _text(V1_MOUNTS, tmp_path))
    assert read_counters(cgroup) == Counters()


def test_counts_between_two_readings() -> None:
    assert Counters(3, 5, None).since(Counters(1, None, 2)) == Counters(2, None, None)


def test_own_cgroup() -> None:
    own = read_membership("self")
    if not own:
        pytest.skip("this system has no cgroups")
    assert not differs_from_own(own)
    assert not differs_from_own(b"")
    assert differs_from_own(own.replace(b":/", b":/elsewhere/"))
    cgroup = locate(own)
    assert cgroup.memory is None or _cgroup.exists(cgroup.memory)


def test_of_a_zombie_only_version_2_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cgroup, "read_file", lambda _path: b"4:memory:/\n0::/judge/box\n")
    assert read_membership(1) == b"0::/judge/box\n"
