"""Wrappers around ``os.wait``, ``wait3``, ``wait4`` and ``waitid``, which may reap any child."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any

from sandscope_instrumentation_subprocess._evidence import (
    CAN_INSPECT_ZOMBIES,
    NOT_INSPECTED,
    ExitStatus,
    Zombie,
    decode_exit,
    decode_status,
    find_exited,
    inspect_zombie,
)
from sandscope_instrumentation_subprocess._registry import Registry

_Make = Callable[[Callable[..., Any]], Callable[..., Any]]

Look = tuple[int, Zombie]
"""The process id of a child that has exited, and what was read before it was reaped."""

_NOTHING: Look = (0, NOT_INSPECTED)


def wait(registry: Registry) -> _Make:
    """Make an ``os.wait`` that ends the execution of the child that it reaps."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def wait() -> Any:
            looked = look(registry, -1, 0)
            result = original()
            end(registry, *result, looked=looked)
            return result

        return wait

    return make


def wait3(registry: Registry) -> _Make:
    """Make an ``os.wait3`` that ends the execution of the child that it reaps."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def wait3(options: int) -> Any:
            looked = look(registry, -1, options)
            result = original(options)
            end(registry, *result, looked=looked)
            return result

        return wait3

    return make


def wait4(registry: Registry) -> _Make:
    """Make an ``os.wait4`` that ends the execution of the child that it reaps."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def wait4(pid: int, options: int) -> Any:
            looked = look(registry, pid, options)
            result = original(pid, options)
            end(registry, *result, looked=looked)
            return result

        return wait4

    return make


def waitid(registry: Registry) -> _Make:
    """Make an ``os.waitid`` that ends the execution of the child that it reaps."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def waitid(idtype: int, id: int, options: int) -> Any:  # noqa: A002 -- named by the standard library
            reaps = isinstance(options, int) and options & os.WEXITED and not options & os.WNOWAIT
            looked = _look(registry, idtype, id, options & ~os.WEXITED) if reaps else _NOTHING
            result = original(idtype, id, options)
            if reaps and result is not None:
                _end(registry, result.si_pid, decode_exit(result), None, looked)
            return result

        return waitid

    return make


def look(registry: Registry, pid: Any, options: Any) -> Look:
    """Wait for the exit of the child that ``waitpid`` would reap, and inspect it.

    Args:
        registry: does nothing if it is empty.
        pid: as given to ``waitpid``.
        options: as given to ``waitpid``; does nothing unless they are 0 or ``os.WNOHANG``.
    """
    if registry.is_empty() or not isinstance(pid, int):
        return _NOTHING
    if pid == -1:
        return _look(registry, os.P_ALL, 0, options)
    if pid > 0:
        return _look(registry, os.P_PID, pid, options)
    return _look(registry, os.P_PGID, -pid or os.getpgrp(), options)


def end(
    registry: Registry,
    pid: int,
    status: int,
    usage: resource.struct_rusage | None = None,
    *,
    looked: Look,
) -> None:
    """End the execution of the child that the program has reaped, if it has one.

    Args:
        registry: of the children.
        pid: that a function such as ``waitpid`` has returned; 0 if it has reaped nothing.
        status: that it has returned.
        usage: that it has returned.
        looked: returned by `look` before.
    """
    if pid:
        _end(registry, pid, decode_status(status), usage, looked)


def _look(registry: Registry, kind: int, number: int, options: Any) -> Look:
    if not CAN_INSPECT_ZOMBIES or options not in (0, os.WNOHANG) or registry.is_empty():
        return _NOTHING
    try:
        exited = find_exited(kind, number, options)
    except (OSError, TypeError):
        return _NOTHING  # the program gets this error next
    registry.forked.find_executed()
    child = None if exited is None else registry.get(exited[0])
    if exited is None or child is None:
        return _NOTHING
    child.mark_exited()
    child.being_reaped = True
    return child.pid, inspect_zombie(*exited)


def _end(
    registry: Registry,
    pid: int,
    exit_status: ExitStatus | None,
    usage: resource.struct_rusage | None,
    looked: Look,
) -> None:
    if exit_status is None:
        return
    registry.forked.find_executed()  # where it could not be looked at before
    child = registry.get(pid)
    if child is None:
        registry.cleanups.on_late_reap(pid)
        registry.forked.on_reaped(pid)
        return
    # Another thread may have reaped the child that was looked at.
    zombie = looked[1] if looked[0] == pid else NOT_INSPECTED
    registry.on_reaped(child, exit_status, usage, zombie)
