"""From the declaration of a metric to an instrument of a meter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias, cast
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.context import Context
from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    Meter,
    MeterProvider,
    Observation,
    UpDownCounter,
    _Gauge,
)
from opentelemetry.util.types import Attributes

from sandscope import _guard
from sandscope._metric import TELEMETRY_ERRORS, Metric
from sandscope._recording import _mapping
from sandscope._version import __version__

Instrument: TypeAlias = "Counter | UpDownCounter | Histogram | _Gauge"
Write: TypeAlias = Callable[[float, Attributes, Context], None]


def create(meter: Meter, metric: Metric) -> Instrument:
    """Return the instrument of a metric, made if the meter has none."""
    name, kind, unit, description, boundaries = metric
    if kind == "counter":
        return meter.create_counter(name, unit, description)
    if kind == "updowncounter":
        return meter.create_up_down_counter(name, unit, description)
    if kind == "gauge":
        return meter.create_gauge(name, unit, description)
    return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=boundaries)


def write_of(instrument: Instrument) -> Write:
    """Return the method that takes a value, its attributes and its context."""
    if isinstance(instrument, Histogram):
        return instrument.record
    return cast(Write, instrument.set) if isinstance(instrument, _Gauge) else instrument.add


class Settler(Protocol):
    """Keeps values back."""

    def settle(self) -> None:
        """Write them to instruments. Never raises."""


_settlers: WeakKeyDictionary[MeterProvider, WeakSet[Settler]] = WeakKeyDictionary()


def settle_first(provider: MeterProvider, settler: Settler) -> None:
    """Let a settler write before each collection of a provider's readers, for as long as it lives.

    The provider shows telemetry's own errors, too.
    """
    settlers = _settlers.get(provider)
    if settlers is None:
        settlers = _settlers[provider] = WeakSet()
        meter = provider.get_meter("sandscope", __version__)
        name, _, unit, description, _ = TELEMETRY_ERRORS
        meter.create_observable_counter(name, [_observing(settlers)], unit, description)
    settlers.add(settler)


def _observing(settlers: WeakSet[Settler]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        for settler in list(settlers):
            settler.settle()
        return [Observation(count, {_mapping.COMPONENT: place}) for place, count in _guard.counts().items()]

    return observe
