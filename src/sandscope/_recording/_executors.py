"""The queues and workers of the executors in which executions run; executors that run none are not reported."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sandscope import _guard, _pool_worker
from sandscope._metric import QUEUED, WORKERS
from sandscope._recording._observed import observe

QUEUE = "sandbox.queue"
STATE = "sandbox.worker.state"

_THREAD_POOL = {QUEUE: "thread_pool"}
_PROCESS_POOL = {QUEUE: "process_pool"}
_HEALTHY = {STATE: "healthy"}
_UNHEALTHY = {STATE: "unhealthy"}

_thread_pools: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""The queues of thread pools, with weak references to their executors."""
_process_pools: WeakSet[Any] = WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_thread_pools.clear)  # those of the parent process
    os.register_at_fork(after_in_child=_process_pools.clear)


def note_execution() -> None:
    """Note that an execution begins on this thread, which may be the worker of an executor. Never raises."""
    try:
        _pool_worker.on_execution()
        module = sys.modules.get("concurrent.futures.thread")
        thread = None if module is None else threading.current_thread()
        queue = getattr(module, "_threads_queues", {}).get(thread)
        if queue is not None and queue not in _thread_pools:
            _thread_pools[queue] = getattr(thread, "_args", (None,))[0]
            observe(QUEUED, _thread_pool_queues)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("executors", error)


def note_process_pool(executor: Any) -> None:
    """Note that executions run in the workers of a ``ProcessPoolExecutor``."""
    _process_pools.add(executor)
    observe(QUEUED, _process_pool_queues)
    observe(WORKERS, _process_pool_workers)


def _thread_pool_queues() -> Iterator[tuple[Mapping[str, str], int]]:
    for queue, reference in list(_thread_pools.items()):
        executor = reference() if callable(reference) else None
        if executor is None or not any(thread.is_alive() for thread in executor._threads):
            continue
        # After its shutdown, an item without work tells the workers to end.
        yield _THREAD_POOL, max(0, queue.qsize() - bool(executor._shutdown))


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
