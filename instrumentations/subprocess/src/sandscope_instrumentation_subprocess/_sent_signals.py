"""Wrappers around ``os.kill`` and ``os.killpg``: which signals the program sends to its children."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

from sandscope_instrumentation_subprocess._child import Child, SentSignal
from sandscope_instrumentation_subprocess._registry import Registry

_Kill: TypeAlias = "Callable[[int, int], None]"


def kill(registry: Registry, *, group: bool = False) -> Callable[[_Kill], _Kill]:
    """Make an ``os.kill`` (or ``os.killpg``) that records the signal with each child that receives it."""

    def make(original: _Kill) -> _Kill:
        def kill(pid: int, signal: int, /) -> None:
            recipients = [
                (child, SentSignal(signal, child.timed_out)) for child in _recipients(registry, pid, group)
            ]
            # Before the call: the child may have exited, and been reaped on another thread, when it returns.
            for child, sent in recipients:
                child.sent_signals.append(sent)
            try:
                original(pid, signal)
            except BaseException:
                for child, sent in recipients:
                    child.sent_signals.remove(sent)
                raise

        return kill

    return make


def _recipients(registry: Registry, pid: Any, group: bool) -> list[Child]:
    children = registry.children()
    if not children or not isinstance(pid, int):
        return []
    if pid > 0 and not group:
        return [child for child in children if child.pid == pid]
    if pid == -1:
        return children
    group_id = abs(pid) or os.getpgrp()
    return [child for child in children if _group_id(child) == group_id]


def _group_id(child: Child) -> int | None:
    try:
        return os.getpgid(child.pid)
    except OSError:
        return None
