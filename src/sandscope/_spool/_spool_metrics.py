"""What waits in the spool, and what has become of what did, as metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol
from weakref import WeakSet

from opentelemetry.metrics import CallbackOptions, Observation, get_meter_provider

from sandscope import _internals
from sandscope._metric import SPOOL_OLDEST, SPOOL_RECORDS, SPOOL_REQUESTS, SPOOL_SIZE
from sandscope._spool import _undelivered_records
from sandscope._spool._batch_file import Waiting
from sandscope._spool._undelivered_records import Signal
from sandscope._version import __version__


class Backlog(Protocol):
    """The part of a backlog that its metrics use."""

    signal: Signal

    def waiting(self) -> list[Waiting]:
        """Return the files that wait, the oldest first."""

    def send_soon(self) -> None:
        """Send what waits, on a thread, if something does."""


_SIGNAL, _OUTCOME = "sandscope.signal", "sandscope.spool.outcome"

_backlogs: WeakSet[Backlog] = WeakSet()
_is_shown: list[bool] = []


def show(backlog: Backlog) -> None:
    """Report a backlog from now on, unless the process ends."""
    _backlogs.add(backlog)
    provider = get_meter_provider()
    if _is_shown or _internals.is_shut_down(provider):
        return
    _is_shown.append(True)
    meter = provider.get_meter("sandscope", __version__)
    name, _, unit, description, _ = SPOOL_RECORDS
    meter.create_observable_counter(name, [_observe_records], unit, description)
    for metric, value_of in (
        (SPOOL_SIZE, lambda files: sum(file.size for file in files)),
        (SPOOL_REQUESTS, len),
        (SPOOL_OLDEST, _age),
    ):
        name, _, unit, description, _ = metric
        meter.create_observable_gauge(name, [_observer_of(value_of)], unit, description)


def _observe_records(_options: CallbackOptions) -> Iterable[Observation]:
    for backlog in list(_backlogs):
        backlog.send_soon()  # what another process has left
    return [
        Observation(count, {_SIGNAL: signal, _OUTCOME: outcome})
        for (signal, outcome), count in _undelivered_records.counts().items()
    ]


def _observer_of(
    value_of: Callable[[list[Waiting]], float],
) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def observe(_options: CallbackOptions) -> Iterator[Observation]:
        for backlog in list(_backlogs):
            yield Observation(value_of(backlog.waiting()), {_SIGNAL: backlog.signal})

    return observe


def _age(files: list[Waiting]) -> float:
    return max(0.0, time.time() - files[0].name.written / 1e9) if files else 0.0
