"""Counts records by outcome: sent, not sampled, or dropped and why. Exported as a metric."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from sandscope._locks import new_lock
from sandscope._metric import RECORDS
from sandscope._version import __version__

Signal = Literal["span", "log"]
Outcome = Literal["sent", "kept", "unsampled", "not_identified", "queue_full", "not_encoded", "not_delivered"]


class RecordOutcomes:
    """Counts records by signal and outcome."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._counts: dict[tuple[Signal, Outcome], int] = defaultdict(int)

    def add(self, signal: Signal, outcome: Outcome, count: int) -> None:
        """Add to the number of records with an outcome."""
        if count:
            with self._lock:
                self._counts[signal, outcome] += count

    def count(self, signal: Signal, outcome: Outcome) -> int:
        """Return the number of records of a signal with an outcome."""
        with self._lock:
            return self._counts.get((signal, outcome), 0)

    def after_fork_in_child(self) -> None:
        """Start from nothing: the parent process reports its records."""
        self._counts.clear()

    def show(self, provider: MeterProvider) -> None:
        """Register the metric with a provider."""
        meter = provider.get_meter("sandscope", __version__)
        meter.create_observable_counter(RECORDS.name, [self._observe], RECORDS.unit, RECORDS.description)

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            counts = dict(self._counts)
        return [
            Observation(count, {"sandscope.signal": signal, "sandscope.outcome": outcome})
            for (signal, outcome), count in counts.items()
        ]
