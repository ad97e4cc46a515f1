"""Seeing the end of a child where the program itself reaps it."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeAlias

from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._evidence import (
    CAN_LOOK,
    SUCCESS,
    Ending,
    ending_of_status,
    ending_of_zombie,
)
from sandscope_instrumentation_subprocess._registry import NOT_LOOKED_AT, Registry, look

_Waitpid: TypeAlias = "Callable[[int, int], tuple[int, int]]"


def waitpid(registry: Registry, *, elsewhere: bool = False) -> Callable[[_Waitpid], _Waitpid]:
    """Make a ``waitpid`` that looks at a child of ours between its exit and its reaping.

    Args:
        registry: where the children are.
        elsewhere: end executions on the watcher's thread: ``Popen.__del__`` polls, and may run inside any
            other code, also with a lock of the SDK held.
    """

    def make(original: _Waitpid) -> _Waitpid:
        def waitpid(pid: int, options: int, /) -> tuple[int, int]:
            child = registry.get(pid)
            if child is None:
                reaped, status = original(pid, options)
                child = registry.get(reaped)
                ending = None if child is None else ending_of_status(status)
                if child is not None and ending is not None:
                    registry.reaped(child, ending, None, elsewhere=elsewhere)
                return reaped, status
            zombie = NOT_LOOKED_AT
            if CAN_LOOK and options in (0, os.WNOHANG):
                try:
                    seen = _poll(registry, child) if options else _wait(registry, child)
                except ChildProcessError:
                    registry.lost(child)
                    return original(pid, options)  # raises as it would have
                if seen is None:
                    return 0, 0
                child.saw_exit()
                if seen == SUCCESS:
                    result = original(pid, options)
                    registry.reaped(child, seen, None, elsewhere=elsewhere)
                    return result
                zombie = look(child, seen)
            reaped, status, usage = os.wait4(pid, options)
            ending = ending_of_status(status) if reaped else None
            if ending is not None:
                registry.reaped(child, ending, usage, zombie, elsewhere=elsewhere)
            return reaped, status

        return waitpid

    return make


def _poll(registry: Registry, child: Child) -> Ending | None:
    """Look whether a child has exited; who asks has other things to do meanwhile."""
    registry.watch(child)
    return ending_of_zombie(child.pid, os.WNOHANG)


def _wait(registry: Registry, child: Child) -> Ending | None:
    """Wait for a child's exit without the watcher: to wake two threads for one exit slows both."""
    registry.unwatch(child)
    try:
        return ending_of_zombie(child.pid)
    except BaseException:
        registry.watch(child)
        raise


def rebind_default(replaced: Any, replacement: Any) -> Callable[[Any], Any]:
    """Make a copy of a function with one object among its defaults replaced by another."""

    def make(original: FunctionType) -> FunctionType:
        defaults = tuple(
            replacement if default is replaced else default for default in original.__defaults__ or ()
        )
        copy = FunctionType(
            original.__code__, original.__globals__, original.__name__, defaults, original.__closure__
        )
        copy.__kwdefaults__, copy.__doc__ = original.__kwdefaults__, original.__doc__
        copy.__qualname__, copy.__module__ = original.__qualname__, original.__module__
        return copy

    return make
