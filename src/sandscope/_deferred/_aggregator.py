"""Records batches of ended executions in OpenTelemetry instruments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import time_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from sandscope import _guard
from sandscope._deferred._active_counts import Active, ActiveCounts
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._groups import Groups
from sandscope._internals._batch import Measured
from sandscope._internals._histograms import merge_histogram
from sandscope._metric import DURATION, Metric
from sandscope._recording import _instruments
from sandscope._scope import Scope

_SUMS = frozenset(("counter", "updowncounter"))


class _Outside:
    """Stands for the execution of what was measured outside of executions."""

    context = Context()

    def __init__(self) -> None:
        self.end_time = time_ns()

    def get_span_context(self) -> SpanContext:
        """Return the context of no span."""
        return INVALID_SPAN_CONTEXT


class Aggregator:
    """Records the metrics of one recorder's executions. Not thread-safe; the pipeline's lock protects it.

    Attributes:
        starts: maps a site to the function that counts a started execution.
    """

    def __init__(self, meter_provider: MeterProvider, scope: Scope) -> None:
        """Create the aggregator.

        Args:
            meter_provider: receives the metrics.
            scope: the instrumentation scope.
        """
        self._meter = meter_provider.get_meter(scope.name, scope.version)
        self._instruments: dict[Metric, _instruments.Instrument] = {}
        self._active = Active.of(meter_provider, scope)
        self.starts = ActiveCounts(self._active)
        self._groups = Groups(self.starts)

    def after_fork_in_child(self) -> None:
        """Reset the counts: running executions belong to the parent process."""
        self._active.after_fork_in_child()

    def count(self, executions: Sequence[DeferredExecution]) -> None:
        """Record the metrics of ended executions."""
        for group, members in self._groups.split(executions).items():
            group.active_count.ended += len(members)
            ones = [1] * len(members)
            for metric, attributes in group.counters:
                self._write(metric, attributes, ones, members)
            durations = [(member.ended - member.started) / 1e9 for member in members]
            self._write(DURATION, group.ended, durations, members)
            measured: dict[Metric, tuple[list[float], list[DeferredExecution]]] = {}
            for member in members:
                if member.details is not None:
                    for metric, value in member.details.measurements.items():
                        values, measured_executions = measured.setdefault(metric, ([], []))
                        values.append(value)
                        measured_executions.append(member)
            for metric, (values, measured_executions) in measured.items():
                self._write(metric, group.ended, values, measured_executions)

    def write(self, metric: Metric, attributes: Mapping[str, Any], values: Sequence[float]) -> None:
        """Write values that were measured outside of executions. Thread-safe."""
        self._write(metric, attributes, values, [_Outside()] * len(values))

    def _write(
        self,
        metric: Metric,
        attributes: Mapping[str, Any],
        values: Sequence[float],
        members: Sequence[Measured],
    ) -> None:
        try:
            instrument = self._instruments.get(metric)
            if instrument is None:
                instrument = self._instruments[metric] = _instruments.create(self._meter, metric)
            if metric.instrument == "histogram" and merge_histogram(instrument, attributes, values, members):
                return
            write = _instruments.write_of(instrument)
            if metric.instrument == "gauge" and _can_sum(metric, values[-1:]):
                write(values[-1], attributes, _exemplar_context(members))
            elif metric.instrument in _SUMS and _can_sum(metric, values):
                write(sum(values), attributes, _exemplar_context(members))
            else:
                _write_each(write, attributes, values, members)
        except Exception as error:  # noqa: BLE001 -- the other metrics are still written
            _guard.report("metrics.write", error)


def _can_sum(metric: Metric, values: Sequence[float]) -> bool:
    """Return whether the instrument accepts every value. Otherwise they are written separately: it drops bad ones."""
    try:
        return math.isfinite(sum(values)) and (metric.instrument != "counter" or min(values) >= 0)
    except (TypeError, OverflowError):
        return False


def _write_each(
    write: _instruments.Write,
    attributes: Mapping[str, Any],
    values: Sequence[float],
    members: Sequence[Measured],
) -> None:
    for value, member in zip(values, members, strict=True):
        try:
            write(value, attributes, member.context)
        except Exception as error:  # noqa: BLE001 -- the other values are still written
            _guard.report("metrics.write", error)


def _exemplar_context(members: Sequence[Measured]) -> Context:
    """Return the context of the last sampled execution, so that the exemplar refers to an exported trace."""
    for member in reversed(members):
        if member.get_span_context().trace_flags.sampled:
            return member.context
    return members[-1].context
