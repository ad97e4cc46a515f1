"""The workers of a program that run executions, and their health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias, get_args

from sandscope._metric import WORKERS
from sandscope._recording._executors import STATE
from sandscope._reports._reported import Reported, export_soon, not_closed, report

WorkerState: TypeAlias = Literal["healthy", "unhealthy", "quarantined"]


def worker() -> Worker:
    """Count a worker that runs executions in ``sandbox.workers``, until it is closed. It is healthy at first.

        with sandscope.worker() as worker:
            ...
            worker.state = "quarantined"

    The workers of a ``ProcessPoolExecutor`` are counted without this, if executions are recorded in them.
    """
    return report(Worker(), WORKERS, _count)


class Worker(Reported):
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
        export_soon()


def _count() -> Iterator[tuple[Mapping[str, str], int]]:
    workers = not_closed(Worker)
    if workers:
        found = Counter(each.state for each in workers)
        for state in get_args(WorkerState):  # a state without workers is 0: it is known
            yield {STATE: state}, found[state]
