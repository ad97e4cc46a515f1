"""Ended executions into ordinary instruments, a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider

from sandscope import _guard
from sandscope._deferred._active_counts import Active, ActiveCounts
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._groups import Groups
from sandscope._internals._histograms import merge_histogram
from sandscope._metric import DURATION, Metric
from sandscope._recording import _instruments
from sandscope._scope import Scope

_SUMMED = frozenset(("counter", "updowncounter"))


class Aggregator:
    """Counts the executions of one recorder; for one thread at a time, which the pipeline sees to.

    Attributes:
        starts: by site, what to call when one of its executions starts.
    """

    def __init__(self, meter_provider: MeterProvider, scope: Scope) -> None:
        """Make the instruments.

        Args:
            meter_provider: gets the metrics.
            scope: name and version of the instrumentation.
        """
        self._meter = meter_provider.get_meter(scope.name, scope.version)
        self._instruments: dict[Metric, _instruments.Instrument] = {}
        self._active = Active.of(meter_provider, scope)
        self.starts = ActiveCounts(self._active)
        self._groups = Groups(self.starts)
        self._born = 0

    def after_fork_in_child(self) -> None:
        """Begin anew: what runs is the parent's."""
        self._born = perf_counter_ns()
        self._active.after_fork_in_child()

    def count(self, executions: Sequence[DeferredExecution]) -> None:
        """Count ended executions."""
        for group, members in self._groups.split(executions).items():
            group.active_count.ended += self._begun_here(members)
            ones = [1] * len(members)
            for metric, attributes in group.counters:
                self._write(metric, attributes, ones, members)
            durations = [(member.ended - member.started) / 1e9 for member in members]
            self._write(DURATION, group.ended, durations, members)
            measured: dict[Metric, tuple[list[float], list[DeferredExecution]]] = {}
            for member in members:
                if member.details is not None:
                    for metric, value in member.details.measurements.items():
                        values, owners = measured.setdefault(metric, ([], []))
                        values.append(value)
                        owners.append(member)
            for metric, (values, owners) in measured.items():
                self._write(metric, group.ended, values, owners)

    def _begun_here(self, members: Sequence[DeferredExecution]) -> int:
        if not self._born:
            return len(members)
        return sum(member.started >= self._born for member in members)

    def _write(
        self,
        metric: Metric,
        attributes: Mapping[str, Any],
        values: Sequence[float],
        members: Sequence[DeferredExecution],
    ) -> None:
        try:
            instrument = self._instruments.get(metric)
            if instrument is None:
                instrument = self._instruments[metric] = _instruments.create(self._meter, metric)
            if metric.instrument == "histogram" and merge_histogram(instrument, attributes, values, members):
                return
            write = _instruments.write_of(instrument)
            if metric.instrument == "gauge" and _summable(metric, values[-1:]):
                write(values[-1], attributes, _exemplary(members))
            elif metric.instrument in _SUMMED and _summable(metric, values):
                write(sum(values), attributes, _exemplary(members))
            else:
                _write_each(write, attributes, values, members)
        except Exception as error:  # noqa: BLE001 -- the other metrics are to be written
            _guard.report("metrics.write", error)


def _summable(metric: Metric, values: Sequence[float]) -> bool:
    """Return whether the instrument would take each value: it warns of a bad one and drops it alone."""
    try:
        return math.isfinite(sum(values)) and (metric.instrument != "counter" or min(values) >= 0)
    except (TypeError, OverflowError):
        return False


def _write_each(
    write: _instruments.Write,
    attributes: Mapping[str, Any],
    values: Sequence[float],
    members: Sequence[DeferredExecution],
) -> None:
    for value, member in zip(values, members, strict=True):
        try:
            write(value, attributes, member.context)
        except Exception as error:  # noqa: BLE001 -- the other values are to be written
            _guard.report("metrics.write", error)


def _exemplary(members: Sequence[DeferredExecution]) -> Context:
    """Return the context of the last that is sampled: its trace is there to be looked at."""
    for member in reversed(members):
        if member.get_span_context().trace_flags.sampled:
            return member.context
    return members[-1].context
