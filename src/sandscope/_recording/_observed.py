"""Metrics whose values are read when metrics are collected, such as the length of a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from sandscope import _guard
from sandscope._metric import QUEUED, WORKERS, Metric

Source: TypeAlias = "Callable[[], Iterable[tuple[Mapping[str, str], float]]]"
"""Returns attributes from closed or limited sets, and a value of each; values with the same attributes are added."""

_sources: dict[Metric, list[Source]] = {QUEUED: [], WORKERS: []}


def observe(metric: Metric, source: Source) -> bool:
    """Read values of a metric at each collection.

    Args:
        metric: an up/down counter or a gauge.
        source: of the values. Nothing is reported while all sources return nothing.

    Returns:
        Whether the metric was not observed before.
    """
    is_new = metric not in _sources
    sources = _sources.setdefault(metric, [])
    if source not in sources:
        sources.append(source)
    return is_new


def create_observed(meter: Meter, *metrics: Metric) -> None:
    """Create the instruments of metrics that are observed: of all by default."""
    for metric in metrics or tuple(_sources):
        name, kind, unit, description, _ = metric
        callbacks = [_observer_of(metric)]
        if kind == "gauge":
            meter.create_observable_gauge(name, callbacks, unit, description)
        else:
            meter.create_observable_up_down_counter(name, callbacks, unit, description)


def current_values(metric: Metric) -> list[tuple[dict[str, str], float]]:
    """Return the attributes and values that a metric has at present.

    Args:
        metric: one that is observed.
    """
    sums: dict[frozenset[tuple[str, str]], float] = {}
    for source in _sources[metric]:
        try:
            for attributes, value in source():
                key = frozenset(attributes.items())
                sums[key] = sums.get(key, 0) + value
        except Exception as error:  # noqa: BLE001 -- the other sources are still read
            _guard.report("metrics.observe", error)
    return [(dict(key), value) for key, value in sums.items()]


def _observer_of(metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe_all(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, attributes) for attributes, value in current_values(metric)]

    return observe_all
