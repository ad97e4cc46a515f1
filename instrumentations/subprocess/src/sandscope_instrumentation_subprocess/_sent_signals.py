"""Wrappers around ``os.kill`` and its neighbours: which signals the program sends to its children."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._evidence import CAN_INSPECT_ZOMBIES, wait_without_reaping
from sandscope_instrumentation_subprocess._registry import Registry

_Kill: TypeAlias = "Callable[[int, int], None]"


def kill(registry: Registry, *, group: bool = False) -> Callable[[_Kill], _Kill]:
    """Make an ``os.kill`` (or ``os.killpg``) that notes the signal with each child that receives it."""

    def make(original: _Kill) -> _Kill:
        def kill(pid: int, signal: int) -> None:
            noted = note(signal, _recipients(registry, pid, group)) if signal else []
            try:
                original(pid, signal)
            except BaseException:
                forget(signal, noted)
                raise

        return kill

    return make


def pidfd_send_signal(registry: Registry) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a ``signal.pidfd_send_signal`` that notes the signal with the child that receives it."""

    def make(original: Callable[..., None]) -> Callable[..., None]:
        def pidfd_send_signal(pidfd: int, signal: int, *others: Any) -> None:
            child = None if not signal or registry.is_empty() else _child_of(registry, pidfd)
            noted = [] if child is None else note(signal, [child])
            try:
                original(pidfd, signal, *others)
            except BaseException:
                forget(signal, noted)
                raise

        return pidfd_send_signal

    return make


def note(signal: Any, recipients: list[Child]) -> list[Child]:
    """Note a signal before it is sent: afterwards, the child may have been reaped already, on another thread."""
    if not recipients or not isinstance(signal, int):
        return []
    new = [child for child in recipients if signal not in child.sent_signals]
    return [child for child in new if _runs(child) and child.note_signal(signal)]


def forget(signal: Any, noted: list[Child]) -> None:
    """Undo `note`: the signal could not be sent."""
    for child in noted:
        child.sent_signals.pop(signal, None)


def _recipients(registry: Registry, pid: Any, group: bool) -> list[Child]:
    registry.forked.find_executed()
    children = registry.children()
    if not children or not isinstance(pid, int):
        return []
    if pid > 0 and not group:
        return [child for child in children if child.pid == pid]
    if pid == -1:
        return children
    group_id = abs(pid) or os.getpgrp()
    return [child for child in children if _group_id(child) == group_id]


def _runs(child: Child) -> bool:
    """Return whether a signal can still end the child: a zombie has ended for another reason."""
    try:
        return not CAN_INSPECT_ZOMBIES or wait_without_reaping(child.pid, os.WNOHANG) is None
    except ChildProcessError:
        return False


def _group_id(child: Child) -> int | None:
    try:
        return os.getpgid(child.pid)
    except OSError:
        return None


def _child_of(registry: Registry, pidfd: Any) -> Child | None:
    registry.forked.find_executed()
    return registry.get(_process_of(pidfd))


def _process_of(pidfd: Any) -> int | None:
    try:
        with open(f"/proc/self/fdinfo/{int(pidfd)}", "rb") as file:  # noqa: PTH123 -- delays the signal
            _, _, rest = file.read().partition(b"\nPid:")
        return int(rest.split(maxsplit=1)[0])
    except (OSError, TypeError, ValueError, IndexError):
        return None
