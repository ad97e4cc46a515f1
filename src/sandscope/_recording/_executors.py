"""The queues and workers of the executors in which executions run; executors that run none are not reported."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakSet, ref

from sandscope import _guard
from sandscope._metric import QUEUED, WORKERS
from sandscope._own_process import _pool_worker
from sandscope._recording._observed import observe

QUEUE = "sandbox.queue"
STATE = "sandbox.worker.state"

_THREAD_POOL = {QUEUE: "thread_pool"}
_PROCESS_POOL = {QUEUE: "process_pool"}
_HEALTHY = {STATE: "healthy"}
_UNHEALTHY = {STATE: "unhealthy"}


class _Noted(threading.local):
    done = False


_noted = _Noted()
"""Whether this thread has been looked at: it does not become the worker of an executor later."""

_thread_pools: WeakSet[Any] = WeakSet()
_process_pools: WeakSet[Any] = WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_thread_pools.clear)  # those of the parent process
    os.register_at_fork(after_in_child=_process_pools.clear)


def note_execution() -> None:
    """Note that an execution begins on this thread, which may be the worker of an executor. Never raises."""
    try:
        _pool_worker.on_execution()
        if _noted.done:
            return
        _noted.done = True
        module: Any = sys.modules.get("concurrent.futures.thread")
        arguments = () if module is None else getattr(threading.current_thread(), "_args", ())
        if arguments and type(arguments[0]) is ref:  # of a worker: a reference to its executor comes first
            executor = arguments[0]()
            if isinstance(executor, module.ThreadPoolExecutor) and executor not in _thread_pools:
                _thread_pools.add(executor)
                observe(QUEUED, _thread_pool_queues)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("executors", error)


def note_process_pool(executor: Any) -> None:
    """Note that executions run in the workers of a ``ProcessPoolExecutor``."""
    _process_pools.add(executor)
    observe(QUEUED, _process_pool_queues)
    observe(WORKERS, _process_pool_workers)


def _thread_pool_queues() -> Iterator[tuple[Mapping[str, str], int]]:
    for executor in list(_thread_pools):
        if any(thread.is_alive() for thread in list(executor._threads)):
            # After its shutdown, an item without work tells the workers to end.
            yield _THREAD_POOL, max(0, executor._work_queue.qsize() - bool(executor._shutdown))


def _process_pool_queues() -> Iterator[tuple[Mapping[str, str], int]]:
    for executor in list(_process_pools):
        with suppress(AttributeError, TypeError):  # it has been shut down in the meantime
            if not executor._broken:
                # Those that run are pending as well. A worker without work would have taken one of the others.
                yield _PROCESS_POOL, max(0, len(executor._pending_work_items) - len(executor._processes))


def _process_pool_workers() -> Iterator[tuple[Mapping[str, str], int]]:
    for executor in list(_process_pools):
        with suppress(AttributeError, TypeError):  # it has been shut down in the meantime
            if executor._broken:
                yield _UNHEALTHY, len(executor._processes) or executor._max_workers
            else:
                yield _HEALTHY, len(executor._processes)
