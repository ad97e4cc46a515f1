"""OpenTelemetry instruments for declared metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias, cast
from weakref import WeakSet, ref

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
from sandscope._locks import new_lock
from sandscope._metric import TELEMETRY_ERRORS, Metric
from sandscope._recording import _mapping
from sandscope._recording._observed import Source, create_observed, observe
from sandscope._version import __version__

Instrument: TypeAlias = "Counter | UpDownCounter | Histogram | _Gauge"
Write: TypeAlias = Callable[[float, Attributes, Context], None]


def create(meter: Meter, metric: Metric) -> Instrument:
    """Return the instrument of a metric, creating it if necessary."""
    name, kind, unit, description, boundaries = metric
    if kind == "counter":
        return meter.create_counter(name, unit, description)
    if kind == "updowncounter":
        return meter.create_up_down_counter(name, unit, description)
    if kind == "gauge":
        return meter.create_gauge(name, unit, description)
    return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=boundaries)


def write_of(instrument: Instrument) -> Write:
    """Return the instrument's method that records a value, with attributes and context."""
    if isinstance(instrument, Histogram):
        return instrument.record
    return cast(Write, instrument.set) if isinstance(instrument, _Gauge) else instrument.add


class Settler(Protocol):
    """An object that buffers measurements."""

    def settle(self) -> object:
        """Write the buffered measurements to their instruments. Never raises."""


_lock = new_lock()
_settlers: list[tuple[ref[MeterProvider], WeakSet[Settler]]] = []
"""The settlers of each provider. Not a dictionary, because not every provider is hashable."""


def settle_before_collection(provider: MeterProvider, settler: Settler) -> None:
    """Call ``settler.settle()`` before each metric collection of a provider. The settler is referenced weakly.

    This also registers the metrics that are observed, and that of Sandscope's internal errors, with the provider.
    """
    with _lock:
        _settlers[:] = [entry for entry in _settlers if entry[0]() is not None]
        settlers = next((known for owner, known in _settlers if owner() is provider), None)
        if settlers is None:
            settlers = WeakSet()
            _settlers.append((ref(provider), settlers))
            meter = provider.get_meter("sandscope", __version__)
            name, _, unit, description, _ = TELEMETRY_ERRORS
            meter.create_observable_counter(name, [_observer_of(settlers)], unit, description)
            create_observed(meter)
        settlers.add(settler)


def observe_metric(metric: Metric, source: Source) -> None:
    """Read values of a metric of a runtime at each collection, of the providers that there are as well.

    Args:
        metric: an up/down counter or a gauge.
        source: of the values. Nothing is reported while all sources return nothing.
    """
    with _lock:
        if observe(metric, source):
            for owner, _ in _settlers:
                provider = owner()
                if provider is not None:
                    create_observed(provider.get_meter("sandscope", __version__), metric)


def _observer_of(settlers: WeakSet[Settler]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe_errors(_options: CallbackOptions) -> Iterable[Observation]:
        for settler in list(settlers):
            settler.settle()
        return [Observation(count, {_mapping.COMPONENT: name}) for name, count in _guard.counts().items()]

    return observe_errors
