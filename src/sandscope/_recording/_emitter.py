"""Telemetry outside of executions: measurements, log records, and spans of guests."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import Span

from sandscope import _guard, _internals
from sandscope._details import Measurement, Value
from sandscope._execution import Execution, Severity
from sandscope._locks import new_lock
from sandscope._metric import Metric
from sandscope._own_process._forking import watch_forks
from sandscope._recording import _instruments
from sandscope._scope import Scope

MAX_PENDING = 10_000
"""The maximum number of pending measurements: finalizers must not write, and not every program has a metric reader."""
_LOCK_TIMEOUT = 1.0
"""Seconds to wait for another thread that writes measurements."""
_SUMS = frozenset(("counter", "updowncounter"))
_EMPTY_CONTEXT = Context()


class Emitter:
    """Emits telemetry outside of executions, with the tracer, meter and logger of one instrumentation scope.

    Attributes:
        scope: the instrumentation scope.
        tracer: the tracer of the scope.
        meter: the meter of the scope.
        logger: the logger of the scope.
    """

    def __init__(
        self,
        scope: Scope,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
        logger_provider: _logs.LoggerProvider | None,
    ) -> None:
        """Get the tracer, meter and logger. A provider of None means the global provider."""
        self.scope = scope
        self._providers = (tracer_provider, meter_provider, logger_provider)
        _internals.reset_in_children(provider for provider in self._providers if provider is not None)
        # Values of counters have their own queue, because they can be merged instead of dropped.
        self._pending_sums: deque[Measurement] = deque()
        self._pending_values: deque[Measurement] = deque()
        self._pending_groups: deque[tuple[Measurement, ...]] = deque()
        self._skip_merge = False
        self._settle_lock = new_lock()
        self.bind()
        _emitters.add(self)
        watch_forks(self)

    def bind(self) -> None:
        """Get the tracer, meter and logger; again if the global providers have been replaced."""
        name, version = self.scope
        tracer_provider, meter_provider, logger_provider = self._providers
        self.tracer = trace.get_tracer(name, version, tracer_provider)
        self.meter = metrics.get_meter(name, version, meter_provider)
        self.logger = _logs.get_logger(name, version, logger_provider)
        self._writes: dict[Metric, _instruments.Write] = {}
        _instruments.settle_before_collection(meter_provider or metrics.get_meter_provider(), self)

    def write_of(self, metric: Metric) -> _instruments.Write:
        """Return the function that records a value of a metric, with attributes and context."""
        write = self._writes.get(metric)
        if write is None:
            instrument = _instruments.create(self.meter, metric)
            write = self._writes[metric] = _instruments.write_of(instrument)
        return write

    def measure(self, metric: Metric, value: float, attributes: Mapping[str, Value] | None = None) -> None:
        """See `Recorder.measure`."""
        pending = self._pending_sums if metric.instrument in _SUMS else self._pending_values
        if pending is self._pending_sums and len(pending) >= MAX_PENDING and not self._skip_merge:
            self._merge_sums()
            self._skip_merge = len(pending) > MAX_PENDING // 2  # do not try again for each value
        if len(pending) < MAX_PENDING:
            pending.append((metric, value, attributes))
        else:
            error = OverflowError(f"{MAX_PENDING} measurements are pending: no metric reader collects")
            _guard.report("metrics.queue", error)

    def measure_all(self, counts: tuple[Measurement, ...], value: Measurement | None = None) -> None:
        """See `Recorder.measure_all`."""
        self._pending_groups.append(counts)
        if value is not None:
            self.measure(*value)
        if len(self._pending_groups) > MAX_PENDING:
            self._split_groups()

    def _split_groups(self) -> None:
        """Move the measurements of `measure_all` to the other queues. Lock-free, because finalizers call this."""
        groups: dict[int, tuple[tuple[Measurement, ...], int]] = {}  # by identity: most are the same tuple
        for _ in range(len(self._pending_groups)):
            try:
                counts = self._pending_groups.popleft()
            except IndexError:  # another thread, or a finalizer on this thread, has emptied the queue
                break
            groups[id(counts)] = counts, groups.get(id(counts), (counts, 0))[1] + 1
        for counts, times in groups.values():
            for metric, value, attributes in counts:
                if metric.instrument in _SUMS:
                    Emitter.measure(self, metric, value * times, attributes)
                else:
                    for _ in range(times):
                        Emitter.measure(self, metric, value, attributes)

    def _merge_sums(self) -> None:
        """Merge pending values of the same counter and attributes. Lock-free, because finalizers call this."""
        sums: dict[object, Measurement] = {}
        for _ in range(len(self._pending_sums)):
            try:
                metric, value, attributes = self._pending_sums.popleft()
            except IndexError:  # another thread, or a finalizer on this thread, has emptied the queue
                break
            key = metric.name, None if attributes is None else tuple(sorted(attributes.items()))
            previous = sums.get(key)
            sums[key] = metric, value if previous is None else previous[1] + value, attributes
        self._pending_sums.extend(sums.values())

    def export_soon(self) -> None:
        """See `Recorder.export_soon`. Here, the SDK's interval decides."""

    def settle(self) -> bool:
        """Write the pending measurements, and return whether there were any.

        Not safe in finalizers, which may interrupt the SDK.
        """
        # Two threads at once: a collection would miss the values that the other thread has taken and not yet written.
        has_lock = self._settle_lock.acquire(timeout=_LOCK_TIMEOUT)
        try:
            self._skip_merge = False
            pending_any = bool(self._pending_groups or self._pending_sums or self._pending_values)
            self._split_groups()
            self._merge_sums()
            self._write_pending(self._pending_sums)
            self._write_values()
            return pending_any
        finally:
            if has_lock:
                self._settle_lock.release()

    def _write_values(self) -> None:
        """Write the pending values of histograms and gauges."""
        self._write_pending(self._pending_values)

    def _write_pending(self, pending: deque[Measurement]) -> None:
        while pending:
            try:
                metric, value, attributes = pending.popleft()
            except IndexError:  # another thread has emptied the queue
                break
            try:
                self.write_of(metric)(value, attributes, _EMPTY_CONTEXT)
            except Exception as error:  # noqa: BLE001 -- the other values are still written
                _guard.report("metrics.write", error)

    def start_span(
        self, name: str, parent: Context, attributes: Mapping[str, Value], start_time: int | None = None
    ) -> Span:
        """See `Recorder.start_span`."""
        return self.tracer.start_span(name, parent, attributes=attributes, start_time=start_time)

    def after_fork_in_child(self) -> None:
        """Drop pending measurements: the parent process writes them."""
        self._pending_groups.clear()
        self._pending_sums.clear()
        self._pending_values.clear()

    def log(
        self,
        name: str,
        body: str,
        *,
        severity: Severity = "INFO",
        attributes: Mapping[str, Value] | None = None,
        execution: Execution | None = None,
        timestamp: int | None = None,
    ) -> None:
        """See `Recorder.log`."""
        try:
            context: dict[str, Any] = {} if execution is None else {"context": execution.context}
            self.logger.emit(
                timestamp=timestamp,
                severity_number=SeverityNumber[severity],
                severity_text=severity,
                body=body,
                attributes=attributes,
                event_name=name,
                **context,
            )
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("logs.emit", error)


_emitters: WeakSet[Emitter] = WeakSet()


def rebind() -> None:
    """Update every emitter after the global providers have been replaced. Never raises."""
    for emitter in list(_emitters):
        try:
            emitter.bind()
        except Exception as error:  # noqa: BLE001 -- the program's providers may be of any kind
            _guard.report("recorder.bind", error)
