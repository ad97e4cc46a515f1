"""The wrapper around ``os.waitpid``: the end of a child, where the program itself reaps it."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeAlias

from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._evidence import (
    CAN_INSPECT_ZOMBIES,
    NOT_INSPECTED,
    SUCCESS,
    ExitStatus,
    decode_status,
    inspect_zombie,
    read_limits,
    wait_without_reaping,
)
from sandscope_instrumentation_subprocess._process_groups import leads_group
from sandscope_instrumentation_subprocess._registry import Registry
from sandscope_instrumentation_subprocess._waits._any_reaping import reap
from sandscope_instrumentation_subprocess._waits._observed_wait import wait_observed
from sandscope_instrumentation_subprocess._waits._sigchld import handler_may_reap
from sandscope_instrumentation_subprocess._waits._wait_functions import read, which

_wait4 = os.wait4  # without the wrapper

_Waitpid: TypeAlias = "Callable[[int, int], tuple[int, int]]"

_USUAL_OPTIONS = (0, os.WNOHANG)


def waitpid(registry: Registry, *, on_watcher_thread: bool = False) -> Callable[[_Waitpid], _Waitpid]:
    """Make a ``waitpid`` that inspects a registered child between its exit and its reaping.

    Args:
        registry: of the children.
        on_watcher_thread: end executions there: ``Popen.__del__`` polls, and may be called from any other
            code, even while that holds a lock of the SDK.
    """
    forks = registry.forked.forks

    def make(original: _Waitpid) -> _Waitpid:
        def waitpid(pid: int, options: int) -> tuple[int, int]:
            if forks.pending and not on_watcher_thread:
                registry.forked.find_executed()
            child = registry.get(pid)
            if child is None and on_watcher_thread:
                reaped, status = original(pid, options)
                if reaped:
                    registry.cleanups.on_late_reap(reaped)
                return reaped, status
            if child is None or options not in _USUAL_OPTIONS:
                return _reap_any(registry, pid, options, original)
            # Until the end of this call, no other thread ends the execution: it would lack what the kernel reports.
            child.reapers.append(None)
            try:
                if handler_may_reap():
                    return _reap_at_once(registry, child, options, on_watcher_thread=on_watcher_thread)
                return _reap(registry, child, options, on_watcher_thread=on_watcher_thread)
            except _StatusLost:
                pass
            finally:
                child.reapers.pop()
            registry.on_status_lost(child)
            return original(pid, options)  # raises the error that the program expects

        return waitpid

    return make


class _StatusLost(Exception):  # noqa: N818 -- it is not raised into the program
    """The child has been reaped by others."""


def _reap_any(registry: Registry, pid: Any, options: Any, original: _Waitpid) -> tuple[int, int]:
    def call(found: int | None) -> Any:
        return original(pid, options) if found is None else _wait4(found, options)

    result = reap(registry, which(pid), options, call, read) or (0, 0)
    return result[0], result[1]


def _reap_at_once(
    registry: Registry, child: Child, options: int, *, on_watcher_thread: bool
) -> tuple[int, int]:
    """Reap a child without a look at its zombie, which a signal handler of the program could reap meanwhile."""
    if options or not registry.read(child):
        registry.watch(child)
    limits = read_limits(child.pid)
    try:
        reaped, status, usage = _wait4(child.pid, options)
    except ChildProcessError:
        raise _StatusLost from None
    exit_status = decode_status(status) if reaped else None
    if exit_status is not None:
        child.mark_exited()
        zombie = NOT_INSPECTED._replace(limits=child.observed.limits or limits)
        registry.on_reaped(child, exit_status, usage, zombie, on_watcher_thread=on_watcher_thread)
    return reaped, status


def _reap(registry: Registry, child: Child, options: int, *, on_watcher_thread: bool) -> tuple[int, int]:
    zombie, exited, is_leader = NOT_INSPECTED, None, True
    if CAN_INSPECT_ZOMBIES:
        try:
            exited = _poll(registry, child) if options else _wait(registry, child)
        except ChildProcessError:
            raise _StatusLost from None
        if exited is None:
            return 0, 0
        child.mark_exited()
        if exited is not SUCCESS:
            zombie = inspect_zombie(child.pid, exited)
        elif not on_watcher_thread:
            is_leader = leads_group(child.pid)
    try:
        reaped, status, usage = _wait4(child.pid, options)
    except ChildProcessError:
        raise _StatusLost from None
    if not is_leader and not status and registry.on_success(child, usage):
        return reaped, status
    exit_status = decode_status(status) if reaped else None
    if exit_status is not None:
        child.contradictory = exited is not None and exited != exit_status
        registry.on_reaped(child, exit_status, usage, zombie, on_watcher_thread=on_watcher_thread)
    return reaped, status


def _poll(registry: Registry, child: Child) -> ExitStatus | None:
    """Check whether a child has exited; a program that polls does not wait, so the watcher has to."""
    registry.watch(child)
    return wait_without_reaping(child.pid, os.WNOHANG)


def _wait(registry: Registry, child: Child) -> ExitStatus | None:
    """Wait for a child's exit without the watcher: waking two threads for one exit slows both down."""
    try:
        return wait_observed(child, registry.unwatch, is_read=registry.read(child))
    except ChildProcessError:
        raise
    except BaseException:
        registry.watch(child)
        raise


def rebind_default(replaced: Any, replacement: Any) -> Callable[[Any], Any]:
    """Make a copy of a function in which one default value is replaced by another object."""

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
