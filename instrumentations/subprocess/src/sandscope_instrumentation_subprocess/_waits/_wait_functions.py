"""Wrappers around ``os.wait``, ``wait3``, ``wait4`` and ``waitid``, which may reap any child."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any

from sandscope_instrumentation_subprocess._evidence import decode_exit, decode_status
from sandscope_instrumentation_subprocess._registry import Registry
from sandscope_instrumentation_subprocess._waits._any_reaping import Reaped, reap

_Make = Callable[[Callable[..., Any]], Callable[..., Any]]

_wait4 = os.wait4  # without the wrapper

_NO_USAGE = resource.struct_rusage([0] * 16)


def wait(registry: Registry) -> _Make:
    """Make an ``os.wait`` that ends the execution of the child that it reaps."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def wait() -> Any:
            def call(pid: int | None) -> Any:
                return original() if pid is None else _wait4(pid, 0)

            return reap(registry, (os.P_ALL, 0), 0, call, read)[:2]

        return wait

    return make


def wait3(registry: Registry) -> _Make:
    """Make an ``os.wait3`` that ends the execution of the child that it reaps."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def wait3(options: int) -> Any:
            def call(pid: int | None) -> Any:
                return original(options) if pid is None else _wait4(pid, options)

            return reap(registry, (os.P_ALL, 0), options, call, read) or (0, 0, _NO_USAGE)

        return wait3

    return make


def wait4(registry: Registry) -> _Make:
    """Make an ``os.wait4`` that ends the execution of the child that it reaps."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def wait4(pid: int, options: int) -> Any:
            def call(found: int | None) -> Any:
                return original(pid if found is None else found, options)

            return reap(registry, which(pid), options, call, read) or (0, 0, _NO_USAGE)

        return wait4

    return make


def waitid(registry: Registry) -> _Make:
    """Make an ``os.waitid`` that ends the execution of the child that it reaps."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def waitid(idtype: int, id: int, options: int) -> Any:  # noqa: A002 -- named by the standard library
            if not isinstance(options, int) or not options & os.WEXITED or options & os.WNOWAIT:
                return original(idtype, id, options)

            def call(pid: int | None) -> Any:
                return original(*((idtype, id) if pid is None else (os.P_PID, pid)), options)

            return reap(registry, (idtype, id), options & ~os.WEXITED, call, _read_information)

        return waitid

    return make


def which(pid: Any) -> tuple[Any, Any]:
    """Return the children that ``waitpid`` waits for, as ``waitid`` names them.

    Args:
        pid: as given to ``waitpid``.
    """
    if not isinstance(pid, int) or pid > 0:
        return os.P_PID, pid
    if pid == -1:
        return os.P_ALL, 0
    return os.P_PGID, -pid or os.getpgrp()


def read(result: Any) -> Reaped:
    """Read what a function such as ``waitpid`` or ``wait4`` has returned."""
    pid, status, *usage = result
    return pid, decode_status(status), usage[0] if usage else None


def _read_information(result: Any) -> Reaped:
    return (0, None, None) if result is None else (result.si_pid, decode_exit(result), None)
