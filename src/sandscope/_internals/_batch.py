"""Measured values of one metric and one set of attributes, as the SDK's aggregations take them."""

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
    """The execution that a value was measured on."""

    @property
    def context(self) -> Context:
        """The context that holds its span."""

    @property
    def end_time(self) -> int:
        """Nanoseconds since 1970."""

    def get_span_context(self) -> SpanContext:
        """Return ids and flags."""


class Measurement(NamedTuple):
    """What views and aggregations read of the SDK's class of that name, which takes longer to make."""

    value: float
    time_unix_nano: int
    instrument: Any
    context: Context
    attributes: Mapping[str, Any]


class Batch:
    """Values of one series, in the order in which they were measured."""

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
        """Return a value as the SDK's code takes it, and whether the filter lets it through."""
        value, execution = self.values[position], self._executions[position]
        time, context = execution.end_time, execution.context
        passes = self._filter.should_sample(value, time, self.attributes, context)
        return Measurement(value, time, self._histogram, context, self.attributes), passes

    @property
    def keeps_last(self) -> bool:
        """Whether the last value of a bucket that the filter lets through becomes its exemplar."""
        return type(self._filter) in (
            AlwaysOffExemplarFilter,
            AlwaysOnExemplarFilter,
            TraceBasedExemplarFilter,
        )

    def counts(self, boundaries: Sequence[float]) -> dict[int, int]:
        """Return how many values fall into each bucket; empty buckets are left out."""
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
        """Return the last value of each bucket that the filter lets through, as a reservoir takes it."""
        found: list[tuple[Any, ...]] = []
        if type(self._filter) is AlwaysOffExemplarFilter:
            return found
        every = type(self._filter) is AlwaysOnExemplarFilter
        buckets = set(self.counts(boundaries))
        for position in range(len(self.values) - 1, -1, -1):
            value, execution = self.values[position], self._executions[position]
            bucket = bisect_left(boundaries, value)
            # Ids are made here if nobody has asked yet: a sampler must not run under the SDK's locks.
            if bucket in buckets and (execution.get_span_context().trace_flags.sampled or every):
                found.append((value, execution.end_time, self.attributes, execution.context))
                buckets.remove(bucket)
                if not buckets:
                    break
        return found
