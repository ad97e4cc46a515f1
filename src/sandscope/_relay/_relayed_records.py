"""Counts what becomes of the records that children send through this process."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from sandscope._locks import new_lock
from sandscope._metric import RELAY_RECORDS
from sandscope._relay_packets import Signal
from sandscope._version import __version__

Outcome = Literal[
    "relayed",
    "not_delivered",
    "lost",
    "other_trace",
    "other_span",
    "other_time",
    "too_large",
    "invalid",
    "not_relayed",
]

_SIGNAL, _OUTCOME = "sandscope.signal", "sandscope.relay.outcome"

_lock = new_lock()
_counts: dict[tuple[Signal, Outcome], int] = defaultdict(int)


def add(signal: Signal, outcome: Outcome, records: int = 1) -> None:
    """Count records of an outcome."""
    if records:
        with _lock:
            _counts[signal, outcome] += records


def counts() -> dict[tuple[Signal, Outcome], int]:
    """Return the number of records, by signal and outcome."""
    with _lock:
        return dict(_counts)


def show() -> None:
    """Report the counts as a metric."""
    name, _, unit, description, _ = RELAY_RECORDS
    get_meter("sandscope", __version__).create_observable_counter(name, [_observe], unit, description)


def _observe(_options: CallbackOptions) -> Iterable[Observation]:
    return [
        Observation(count, {_SIGNAL: signal, _OUTCOME: outcome})
        for (signal, outcome), count in counts().items()
    ]


os.register_at_fork(after_in_child=_counts.clear)
