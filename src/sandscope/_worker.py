"""The workers of a program that run executions, and their health."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Literal, TypeAlias, get_args

from sandscope._manual import get_recorder
from sandscope._metric import WORKERS
from sandscope._recording._executors import STATE
from sandscope._recording._observed import observe

WorkerState: TypeAlias = Literal["healthy", "unhealthy", "quarantined"]

_workers: dict[int, Worker] = {}

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.clear)  # those of the parent process


def worker() -> Worker:
    """Count a worker that runs executions in ``sandbox.workers``, until it is closed. It is healthy at first.

        with sandscope.worker() as worker:
            ...
            worker.state = "quarantined"

    The workers of a ``ProcessPoolExecutor`` are counted without this, if executions are recorded in them.
    """
    counted = Worker()
    _workers[id(counted)] = counted
    observe(WORKERS, _count)
    _export_soon()
    return counted


class Worker:
    """The result of `worker`. Also a context manager, which closes it."""

    def __init__(self) -> None:
        self._state: WorkerState = "healthy"

    @property
    def state(self) -> WorkerState:
        """``healthy``, ``unhealthy`` or ``quarantined``: it gets no more executions until somebody has looked at it."""
        return self._state

    @state.setter
    def state(self, state: WorkerState) -> None:
        if state not in get_args(WorkerState):
            raise ValueError(
                f"Cannot set the state of a worker to {state!r}. Use one of {', '.join(get_args(WorkerState))}."
            )
        self._state = state
        _export_soon()

    def close(self) -> None:
        """Count the worker no longer."""
        _workers.pop(id(self), None)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


def _export_soon() -> None:
    recorder = get_recorder()
    if recorder is not None:
        recorder.export_soon()


def _count() -> Iterator[tuple[Mapping[str, str], int]]:
    if _workers:
        found = Counter(each.state for each in list(_workers.values()))
        for state in get_args(WorkerState):  # a state without workers is 0: it is known
            yield {STATE: state}, found[state]
