"""The controls that a child is under, compared with those that the user expects: namespaces, a cgroup, and so on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache

from sandscope_instrumentation_subprocess._evidence._cgroup import differs_from_own, locate, read_membership
from sandscope_instrumentation_subprocess._evidence._proc import read_file
from sandscope_instrumentation_subprocess._measures._process_tree import descendants, name_of

_NAMESPACES = ("mnt", "pid", "net", "user", "ipc", "uts")
_NO_CAPABILITIES = b"0" * 16
_STRICT_MODE = b"1"

# They execute another program, in their own process or in a child: it is that one which has to be under control.
_WRAPPERS = {
    *("bwrap", "firejail", "isolate", "minijail0", "nsjail", "runsc"),
    *("capsh", "chroot", "nsenter", "runuser", "setpriv", "su", "sudo", "systemd-run", "unshare"),
    *(
        "chrt",
        "env",
        "ionice",
        "nice",
        "nohup",
        "prlimit",
        "setarch",
        "setsid",
        "stdbuf",
        "taskset",
        "timeout",
    ),
    *("docker", "nerdctl", "podman"),
}
_MOST_PROCESSES = 16


class Controls:
    """What is observed of one child's controls.

    A control is missing if it was never observed, although it could have been: a child that ended too early, or that a
    wrapper runs where this program cannot see it, is not known.
    """

    def __init__(self, program: str, expected: Sequence[str]) -> None:
        """Begin without an observation.

        Args:
            program: the file name of the executable.
            expected: the names of controls.
        """
        self._is_wrapped = program in _WRAPPERS
        self._expected = expected
        self._readable: set[str] = set()
        self._found: set[str] = set()

    @property
    def missing(self) -> tuple[str, ...]:
        """The expected controls that the child was not under."""
        return tuple(each for each in self._expected if each in self._readable - self._found)

    def take(self, pid: int, *, at_start: bool = False) -> None:
        """Read the controls of a running child, unless all have been found.

        Args:
            pid: of the child.
            at_start: it has just started: it may be moved to another cgroup next, and a wrapper has no name yet.
        """
        if self._found >= {*self._expected} or (self._is_wrapped and at_start):
            return
        for process in self._processes(pid):
            self._readable |= {"namespace"} if at_start else {"namespace", "cgroup"}
            self._take_status(process)
            self._found |= _if_any("namespace", _in_other_namespace(process))
            self._found |= _if_any("cgroup", differs_from_own(read_membership(process)))

    def take_zombie(self, pid: int) -> None:
        """Read what the kernel still knows of a child's controls after its exit."""
        if self._found >= {*self._expected} or (self._is_wrapped and name_of(pid) in _WRAPPERS):
            return
        self._take_status(pid)
        # Of version 1, a zombie is in the root.
        lines = read_membership(pid).splitlines(keepends=True)
        membership = b"".join(line for line in lines if line.startswith(b"0::"))
        self._found |= _if_any("cgroup", differs_from_own(membership))
        if membership and locate(membership).version == "v2":
            self._readable.add("cgroup")

    def _processes(self, pid: int) -> Iterable[int]:
        if not self._is_wrapped:
            return (pid,)
        processes = descendants(pid, _MOST_PROCESSES)
        return [process for process in processes if name_of(process) not in {"", *_WRAPPERS}]

    def _take_status(self, pid: int) -> None:
        status = _status(pid)
        if not status:
            return
        self._readable |= {"capability", "seccomp", "no_new_privs"}
        self._found |= _if_any("capability", status.get(b"CapEff") == _NO_CAPABILITIES)
        self._found |= _if_any("no_new_privs", status.get(b"NoNewPrivs") == b"1")
        more = _filters(status) > _filters(_status("self"))
        self._found |= _if_any("seccomp", more or status.get(b"Seccomp") == _STRICT_MODE)


def _if_any(control: str, is_found: bool) -> set[str]:
    return {control} if is_found else set()


def _status(pid: int | str) -> dict[bytes, bytes]:
    lines = (line.partition(b":") for line in read_file(f"/proc/{pid}/status").splitlines())
    return {name: value.strip() for name, _, value in lines}


def _filters(status: dict[bytes, bytes]) -> int:
    """Return the number of a process's seccomp filters; where the kernel does not say it, whether there is one."""
    return int(status.get(b"Seccomp_filters") or int(status.get(b"Seccomp", b"0")) > 1)


def _in_other_namespace(pid: int) -> bool:
    return any(_namespace(pid, kind) not in {None, _own_namespace(kind)} for kind in _NAMESPACES)


@lru_cache(maxsize=16)
def _own_namespace(kind: str) -> str | None:
    return _namespace("self", kind)


def _namespace(pid: int | str, kind: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")  # noqa: PTH115 -- a magic link, not a path
    except OSError:
        return None
