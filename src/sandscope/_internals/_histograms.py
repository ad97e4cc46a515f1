"""Records many values in a histogram of the SDK at once.

Not imported by the package itself, because it imports the SDK's metrics, which programs without metrics do not need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandscope import _guard

try:
    from opentelemetry.sdk.metrics._internal import _view_instrument_match
    from opentelemetry.sdk.metrics._internal.aggregation import (
        _ExplicitBucketHistogramAggregation as _Explicit,
    )
    from opentelemetry.sdk.metrics._internal.exemplar import (
        AlignedHistogramBucketExemplarReservoir as _PerBucket,
    )
    from opentelemetry.sdk.metrics._internal.instrument import _Histogram
    from opentelemetry.sdk.metrics._internal.measurement_consumer import (
        SynchronousMeasurementConsumer as _Consumer,
    )

    from sandscope._internals._batch import Batch, Measured

    _hash: Callable[[Any], Any] | None = getattr(_view_instrument_match, "_hash_attributes", None)
    _internals_found = True
except ImportError:
    _internals_found = False

_USED = frozenset(("_lock", "_boundaries", "_value", "_sum", "_min", "_max", "_record_min_max", "_reservoir"))
"""The attributes of an explicit-bucket aggregation that are read or written here."""


def merge_histogram(
    histogram: Any, attributes: Mapping[str, Any], values: Sequence[float], executions: Sequence[Measured]
) -> bool:
    """Do the same as calling ``histogram.record`` for each value, for every reader and view.

    Explicit-bucket aggregations are updated in bulk, in 0.2 us per value. For other aggregations, the SDK's code
    consumes the values one by one. For exponential buckets this takes 3.7 us per value, compared with 5.7 us for
    ``record``; their scale changes with the values, and a bulk update would depend on too many SDK internals.

    Args:
        histogram: an instrument of the SDK.
        attributes: the attributes of all values.
        values: the values, in the order of measurement.
        executions: the execution of each value, for exemplars.

    Returns:
        False if nothing was recorded: the SDK's version is unknown, or ``record`` would reject a value.
    """
    try:
        if (
            not _internals_found
            or type(histogram) is not _Histogram
            or type(histogram._measurement_consumer) is not _Consumer
        ):
            return False
        if not histogram._is_enabled() or min(values) < 0 or not math.isfinite(sum(values)):
            return False
        consumer = histogram._measurement_consumer
        batch = Batch(histogram, consumer._sdk_config.exemplar_filter, attributes, values, executions)
        streams = [
            _Stream(match, batch)
            for storage in consumer._reader_storages.values()
            for match in storage._get_or_init_view_instrument_match(histogram)
        ]
    except Exception:  # noqa: BLE001 -- unknown SDK internals: the caller has a fallback
        return False
    for stream in streams:
        try:
            stream.record_values()
        except Exception as error:  # noqa: BLE001 -- too late to fall back: other readers have the values
            _guard.report("metrics.merge", error)
    return True


class _Stream:
    """One view of the histogram in one reader."""

    def __init__(self, match: Any, batch: Batch) -> None:
        """Do everything that may fail or that calls user code, before anything is written."""
        self._match = match
        self._batch = batch
        keys, original = match._view._attribute_keys, batch.attributes
        attributes = dict(original) if keys is None else {k: v for k, v in original.items() if k in keys}
        self._key = frozenset(attributes.items()) if _hash is None else _hash(attributes)
        self._lock, self._consume = match._lock, match.consume_measurement
        match._attributes_aggregation.get(self._key)
        kind = match._aggregation
        self._bulk = (
            type(kind) is _Explicit
            and vars(kind).keys() >= _USED
            and type(kind._reservoir) is _PerBucket
            and batch.keeps_last
        )
        if self._bulk:
            self._exemplars = batch.exemplars(kind._boundaries)
        else:
            self._measurements = [batch.measurement(position) for position in range(len(batch.values))]

    def record_values(self) -> None:
        """Record the values."""
        if not self._bulk:
            for measurement, passes in self._measurements:
                self._consume(measurement, passes)
        elif not self._merge(self._batch):
            # The time series is new, or was removed by a collection: the SDK creates it for the first value.
            self._consume(*self._batch.measurement(0))
            rest = self._batch.after_first()
            if rest.values and not self._merge(rest):
                for position in range(len(rest.values)):
                    self._consume(*rest.measurement(position))

    def _merge(self, batch: Batch) -> bool:
        # Inside the view's lock, as in the SDK: with delta temporality, a collection discards the aggregations.
        with self._lock:
            found = self._match._attributes_aggregation.get(self._key)
            if type(found) is not _Explicit:
                return False
            aggregation: Any = found
            counts = batch.counts(aggregation._boundaries)
            with aggregation._lock:
                if aggregation._value is None:
                    aggregation._value = [0] * (len(aggregation._boundaries) + 1)
                for bucket, count in counts.items():
                    aggregation._value[bucket] += count
                aggregation._sum += batch.total
                if aggregation._record_min_max:
                    aggregation._min = min(aggregation._min, batch.ordered[0])
                    aggregation._max = max(aggregation._max, batch.ordered[-1])
            for exemplar in self._exemplars:
                aggregation._reservoir.offer(*exemplar)
        return True
