"""From the declaration of a metric to an instrument of a meter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, cast
from weakref import WeakSet

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

from sandscope import _guard, _mapping
from sandscope._metric import TELEMETRY_ERRORS, Metric
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


_showing_errors: WeakSet[MeterProvider] = WeakSet()


def show_errors(provider: MeterProvider) -> None:
    """Make telemetry's own errors a metric of a provider, once."""
    if provider in _showing_errors:
        return
    _showing_errors.add(provider)
    meter = provider.get_meter("sandscope", __version__)
    name, _, unit, description, _ = TELEMETRY_ERRORS
    meter.create_observable_counter(name, [_observe_errors], unit, description)


def _observe_errors(_options: CallbackOptions) -> Iterable[Observation]:
    return [Observation(count, {_mapping.PLACE: place}) for place, count in _guard.counts().items()]
