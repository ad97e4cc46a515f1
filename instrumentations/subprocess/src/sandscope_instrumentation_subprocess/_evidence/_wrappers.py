"""Programs that run another program, and what their exit codes say about it."""

from __future__ import annotations

from typing import NamedTuple


class Wrapper(NamedTuple):
    """What the exit codes of a program say about the program that it runs.

    Attributes:
        tells_signals: whether 128 and a number tell the signal that ended it.
        not_started: codes with which it could not start it.
        timed_out: codes with which it has stopped it because its time was over.
        killed: codes with which it was ended by a signal that the wrapper does not tell.
    """

    tells_signals: bool = False
    not_started: frozenset[int] = frozenset()
    timed_out: frozenset[int] = frozenset()
    killed: frozenset[int] = frozenset()


_NO_WRAPPER = Wrapper()
_SHELL = Wrapper(tells_signals=True, not_started=frozenset({126, 127}))
_COREUTILS = Wrapper(not_started=frozenset({125, 126, 127}))
_UTIL_LINUX = Wrapper(not_started=frozenset({126, 127}))
_TIMEOUT = _COREUTILS._replace(timed_out=frozenset({124, 137}))
_CONTAINER = Wrapper(tells_signals=True, not_started=frozenset({125, 126, 127}))

_NAMES = {
    _SHELL: "sh ash bash busybox dash ksh mksh su runuser time zsh",
    _COREUTILS: "chroot env nice nohup stdbuf",
    _UTIL_LINUX: "chrt ionice nsenter prlimit setarch setpriv setsid taskset unshare",
    _TIMEOUT: "timeout gtimeout",
    _CONTAINER: "docker nerdctl podman",
    Wrapper(tells_signals=True): "bwrap crun runc runsc",
    Wrapper(tells_signals=True, not_started=frozenset({255})): "nsjail",
    # `isolate` exits with 1 if its child has failed in any way; its meta file says how.
    Wrapper(not_started=frozenset({2})): "isolate",
    # systemd's own codes, of which 203 is the best known: it could not execute the program.
    Wrapper(not_started=frozenset(range(200, 244)), killed=frozenset({255})): "systemd-run",
}
_WRAPPERS = {name: wrapper for wrapper, names in _NAMES.items() for name in names.split()}


def wrapper_of(program: str | None, *, is_shell: bool) -> Wrapper:
    """Return what the exit codes of a program tell.

    Args:
        program: the file name of the executable.
        is_shell: whether it was started as a shell, perhaps by another name.
    """
    return _SHELL if is_shell else _WRAPPERS.get(program or "", _NO_WRAPPER)
