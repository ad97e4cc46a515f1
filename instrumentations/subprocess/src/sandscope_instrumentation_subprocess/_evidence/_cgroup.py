"""The cgroups of a process: version 1, version 2 or both, found by the mounted file systems."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Literal, NamedTuple

from sandscope_instrumentation_subprocess._evidence._proc import read_file

_MOUNT_POINT, _MOUNT_ROOT = 4, 3
"""Positions in a line of ``/proc/self/mountinfo``."""

_own_membership = b""


class Cgroup(NamedTuple):
    """The folders of a process's cgroup: one for each controller with version 1, the same ones with version 2.

    None where the controller is not used, or where its folder cannot be seen from here.

    Attributes:
        version: that the controllers of memory and processes have.
        memory: of the memory controller.
        pids: of the controller of the number of processes.
        cpu: that counts CPU time.
        unified: of version 2, with or without controllers.
    """

    version: Literal["v1", "v2"]
    memory: str | None = None
    pids: str | None = None
    cpu: str | None = None
    unified: str | None = None


def read_membership(pid: int | Literal["self"]) -> bytes:
    """Return the text of ``/proc/<pid>/cgroup``, without the roots of version 1; empty if it cannot be read.

    A root has no limits and counts nothing, and a zombie is in all of those of version 1.

    Args:
        pid: of the process, which may be a zombie.
    """
    text = read_file(f"/proc/{pid}/cgroup")
    return b"".join(line for line in text.splitlines(keepends=True) if not _is_root(line))


def differs_from_own(membership: bytes) -> bool:
    """Return whether a process is in another cgroup than this process, for any controller.

    Args:
        membership: as `read_membership` returns it.
    """
    global _own_membership  # noqa: PLW0603 -- read again only where it differs: almost never
    if not membership or contains(_own_membership, membership):
        return False
    _own_membership = read_membership("self")
    return not contains(_own_membership, membership)


def own_folders_of(membership: bytes) -> Cgroup:
    """Return the folders of another process's cgroup, without those that it shares with this process.

    Args:
        membership: as `read_membership` returns it.
    """
    version, *folders = locate(membership)
    _, *shared = locate(read_membership("self"))
    return Cgroup(
        version, *(None if one == other else one for one, other in zip(folders, shared, strict=True))
    )


def locate(membership: bytes, mountinfo: bytes | None = None) -> Cgroup:
    """Return the folders of a cgroup.

    Args:
        membership: as `read_membership` returns it.
        mountinfo: the text of ``/proc/self/mountinfo``; by default, that of this process.
    """
    mounts = _mounts(read_file("/proc/self/mountinfo") if mountinfo is None else mountinfo)
    folders: dict[str, str] = {}
    for line in membership.decode(errors="surrogateescape").splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        names = ("unified",) if hierarchy == "0" else controllers.split(",")
        folders.update({name: folder for name in names if (folder := _folder(mounts.get(name), path))})
    unified = folders.get("unified")
    version: Literal["v1", "v2"] = "v1" if {"memory", "pids"} & mounts.keys() else "v2"
    memory, pids, cpu = (
        folders.get(name, None if name in mounts else unified) for name in ("memory", "pids", "cpuacct")
    )
    return Cgroup(version, memory, pids, cpu, unified)


def _is_root(line: bytes) -> bool:
    return line.endswith(b":/\n") and not line.startswith(b"0::")


def contains(one: bytes, other: bytes) -> bool:
    """Return whether each of the cgroups in one membership is in another one."""
    return one == other or set(other.splitlines()) <= set(one.splitlines())


def _folder(mount: tuple[str, str] | None, path: str) -> str | None:
    if mount is None or path.endswith(" (deleted)") or ".." in path.split("/"):
        return None  # removed, or outside of this process's namespace of cgroups
    root, point = mount
    if root == "/":
        return point + path.rstrip("/")
    if path != root and not path.startswith(root + "/"):
        return None
    return point + path[len(root) :]


@lru_cache(maxsize=4)
def _mounts(mountinfo: bytes) -> dict[str, tuple[str, str]]:
    """Return the root and the mount point of each controller of version 1, and of ``unified``."""
    result: dict[str, tuple[str, str]] = {}
    for line in mountinfo.decode(errors="surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        file_system, _, options = rest.split(" ", 2) if rest.count(" ") >= 2 else (rest, "", "")
        if file_system not in {"cgroup", "cgroup2"}:
            continue
        columns = fields.split(" ")
        mount = _unescaped(columns[_MOUNT_ROOT]), _unescaped(columns[_MOUNT_POINT])
        names = ["unified"] if file_system == "cgroup2" else options.split(",")
        for name in names:
            result.setdefault(name, mount)
    return result


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def exists(folder: str | None) -> bool:
    """Return whether the folder of a cgroup can be seen."""
    return folder is not None and os.path.isdir(folder)  # noqa: PTH112 -- a folder of a virtual file system
