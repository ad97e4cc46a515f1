"""Ended executions into ordinary instruments, a batch at a time."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider

from sandscope import _guard, _instruments
from sandscope._deferred._execution import DeferredExecution
from sandscope._deferred._groups import Groups
from sandscope._deferred._running import Active, Starts
from sandscope._internals._histograms import merge_histogram
from sandscope._metric import DURATION, Metric
from sandscope._scope import Scope
from sandscope._site import Site

_PATIENCE = 1.0
"""Seconds to wait for a batch that another thread counts; it then counts what waits, too."""
_SUMMED = frozenset(("counter", "updowncounter"))


class Aggregator:
    """Counts the executions of one recorder.

    Attributes:
        starts: by site, what to call when one of its executions starts.
    """

    def __init__(
        self, meter_provider: MeterProvider, scope: Scope, before_collect: Callable[[], None] = lambda: None
    ) -> None:
        """Make the instruments.

        Args:
            meter_provider: gets the metrics.
            scope: name and version of the instrumentation.
            before_collect: called when a reader collects, on its thread; is to `add` all that has ended.
        """
        self._meter = meter_provider.get_meter(scope.name, scope.version)
        self._before_collect = before_collect
        self._instruments: dict[Metric, _instruments.Instrument] = {}
        self._active = Active.of(meter_provider, scope)
        self.starts = Starts(self._active)
        self._groups = Groups(self.starts)
        self._born = 0
        self._lock = threading.RLock()
        self._busy = False
        self._waiting: deque[Sequence[DeferredExecution]] = deque()
        self._active.settle_first(self)

    def started(self, site: Site) -> None:
        """Count an execution of a site as running."""
        self.starts[site]()

    def add(self, executions: Sequence[DeferredExecution]) -> None:
        """Count ended executions. Never raises."""
        self._waiting.append(executions)
        self._work()

    def settle(self) -> None:
        """Count what has ended before a reader collects."""
        try:
            self._before_collect()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("metrics.collect", error)
        self._work()

    def forget(self) -> None:
        """Start anew in a forked child: what runs and what is being counted is the parent's."""
        self._lock = threading.RLock()  # another thread may have held it, and is not here
        self._busy = False
        self._waiting.clear()
        self._born = perf_counter_ns()
        self._active.forget()

    def _work(self) -> None:
        # Not for ever: the thread that counts may itself wait, in a signal handler, for this one.
        if not self._lock.acquire(timeout=_PATIENCE):
            return
        try:
            if self._busy:
                return  # a finaliser or signal handler has interrupted this very thread, which goes on below
            self._busy = True
            try:
                while self._waiting:
                    self._count_next()
            finally:
                self._busy = False  # also after a Ctrl-C
        finally:
            self._lock.release()

    def _count_next(self) -> None:
        try:
            self._count(self._waiting.popleft())
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("metrics.add", error)

    def _count(self, executions: Sequence[DeferredExecution]) -> None:
        for group, members in self._groups.split(executions).items():
            group.cell.ended += self._begun_here(members)
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
