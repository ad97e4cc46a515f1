"""Seeing which signals the program itself sends to its children."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._registry import Registry

_Kill: TypeAlias = "Callable[[int, int], None]"


def kill(registry: Registry, *, group: bool = False) -> Callable[[_Kill], _Kill]:
    """Make an ``os.kill`` (or ``os.killpg``) that notes the signal with each child that it is for."""

    def make(original: _Kill) -> _Kill:
        def kill(pid: int, signal: int, /) -> None:
            noted = [(child, (signal, child.timed_out)) for child in _targets(registry, pid, group)]
            for child, entry in noted:
                child.sent.append(entry)
            try:
                original(pid, signal)
            except BaseException:
                for child, entry in noted:
                    child.sent.remove(entry)
                raise

        return kill

    return make


def _targets(registry: Registry, pid: Any, group: bool) -> list[Child]:
    children = registry.all()
    if not children or not isinstance(pid, int):
        return []
    if pid > 0 and not group:
        return [child for child in children if child.pid == pid]
    if pid == -1:
        return children
    wanted = abs(pid) or os.getpgrp()
    return [child for child in children if _group(child) == wanted]


def _group(child: Child) -> int | None:
    try:
        return os.getpgid(child.pid)
    except OSError:
        return None
