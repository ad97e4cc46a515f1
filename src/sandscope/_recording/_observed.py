"""Up/down counters whose values are read when metrics are collected, such as the length of a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from sandscope import _guard
from sandscope._metric import QUEUED, WORKERS, Metric

Source: TypeAlias = "Callable[[], Iterable[tuple[Mapping[str, str], int]]]"
"""Returns attributes from closed or limited sets, and a value of each; values with the same attributes are added."""

_sources: dict[Metric, list[Source]] = {QUEUED: [], WORKERS: []}


def observe(metric: Metric, source: Source) -> None:
    """Read values of a metric at each collection.

    Args:
        metric: `QUEUED` or `WORKERS`.
        source: of the values. Nothing is reported while all sources return nothing.
    """
    if source not in _sources[metric]:
        _sources[metric].append(source)


def create_observed(meter: Meter) -> None:
    """Create the instruments of all metrics that are observed."""
    for metric, sources in _sources.items():
        name, _, unit, description, _ = metric
        meter.create_observable_up_down_counter(name, [_observer_of(sources)], unit, description)


def _observer_of(sources: list[Source]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe_all(_options: CallbackOptions) -> Iterable[Observation]:
        sums: dict[frozenset[tuple[str, str]], int] = {}
        for source in sources:
            try:
                for attributes, value in source():
                    key = frozenset(attributes.items())
                    sums[key] = sums.get(key, 0) + value
            except Exception as error:  # noqa: BLE001 -- the other sources are still read
                _guard.report("metrics.observe", error)
        return [Observation(value, dict(key)) for key, value in sums.items()]

    return observe_all
