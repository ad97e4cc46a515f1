"""Measurements of one metric with the same attributes, in the form that the SDK's aggregations require."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    TraceBasedExemplarFilter,
)
from opentelemetry.trace import SpanContext


class Measured(Protocol):
    """The execution that a measurement belongs to."""

    @property
    def context(self) -> Context:
        """The context that contains the execution's span."""

    @property
    def end_time(self) -> int:
        """Nanoseconds since the epoch."""

    def get_span_context(self) -> SpanContext:
        """Return the span context."""


class Measurement(NamedTuple):
    """The attributes of the SDK's `Measurement` that views and aggregations read; faster to create."""

    value: float
    time_unix_nano: int
    instrument: Any
    context: Context
    attributes: Mapping[str, Any]


class Batch:
    """Values of one time series, in the order of measurement."""

    def __init__(
        self,
        histogram: Any,
        exemplar_filter: Any,
        attributes: Mapping[str, Any],
        values: Sequence[float],
        executions: Sequence[Measured],
    ) -> None:
        self.attributes = attributes
        self.values = values
        self.ordered = sorted(values)
        self.total = sum(values)
        self._histogram = histogram
        self._filter = exemplar_filter
        self._executions = executions

    def after_first(self) -> Batch:
        """Return the batch without its first value."""
        return Batch(self._histogram, self._filter, self.attributes, self.values[1:], self._executions[1:])

    def measurement(self, position: int) -> tuple[Measurement, bool]:
        """Return a value as a measurement, and whether the exemplar filter accepts it."""
        value, execution = self.values[position], self._executions[position]
        time, context = execution.end_time, execution.context
        passes = self._filter.should_sample(value, time, self.attributes, context)
        return Measurement(value, time, self._histogram, context, self.attributes), passes

    @property
    def keeps_last(self) -> bool:
        """Whether the exemplar of a bucket is the last value that the filter accepts; true for the SDK's filters."""
        return type(self._filter) in (
            AlwaysOffExemplarFilter,
            AlwaysOnExemplarFilter,
            TraceBasedExemplarFilter,
        )

    def counts(self, boundaries: Sequence[float]) -> dict[int, int]:
        """Return the number of values by bucket; empty buckets are omitted."""
        ordered, start, result = self.ordered, 0, {}
        while start < len(ordered):
            bucket = bisect_left(boundaries, ordered[start])
            end = (
                len(ordered)
                if bucket == len(boundaries)
                else bisect_right(ordered, boundaries[bucket], start)
            )
            result[bucket], start = end - start, end
        return result

    def exemplars(self, boundaries: Sequence[float]) -> list[tuple[Any, ...]]:
        """Return the last value of each bucket that the filter accepts, as arguments of ``reservoir.offer``."""
        found: list[tuple[Any, ...]] = []
        if type(self._filter) is AlwaysOffExemplarFilter:
            return found
        always_on = type(self._filter) is AlwaysOnExemplarFilter
        buckets = set(self.counts(boundaries))
        for position in range(len(self.values) - 1, -1, -1):
            value, execution = self.values[position], self._executions[position]
            bucket = bisect_left(boundaries, value)
            # This may create the span context, which must not happen later: samplers must not run inside SDK locks.
            if bucket in buckets and (execution.get_span_context().trace_flags.sampled or always_on):
                found.append((value, execution.end_time, self.attributes, execution.context))
                buckets.remove(bucket)
                if not buckets:
                    break
        return found
