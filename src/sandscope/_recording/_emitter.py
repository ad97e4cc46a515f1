"""Telemetry that belongs to no execution: values of metrics, log records, and spans of guests."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import Span

from sandscope import _guard
from sandscope._execution import Execution, Measurement, Severity, Value
from sandscope._forking import watch_forks
from sandscope._metric import Metric
from sandscope._recording import _instruments
from sandscope._scope import Scope

MOST = 10_000
"""Values that wait to be written: finalisers may not write, and not every program has a reader."""
_SUMMED = frozenset(("counter", "updowncounter"))
_NOWHERE = Context()


class Emitter:
    """The tracer, meter and logger of one instrumentation scope, for what belongs to no execution.

    Attributes:
        scope: the instrumentation's.
        tracer: of the scope.
        meter: of the scope.
        logger: of the scope.
    """

    def __init__(
        self,
        scope: Scope,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
        logger_provider: _logs.LoggerProvider | None,
    ) -> None:
        """Ask the providers; None stands for a global one."""
        self.scope = scope
        self._providers = (tracer_provider, meter_provider, logger_provider)
        self._counted: deque[Measurement] = deque()  # apart: none is ever lost, as they can be added up
        self._measured: deque[Measurement] = deque()
        self._together: deque[tuple[Measurement, ...]] = deque()
        self._crowded = False
        self.bind()
        _emitters.add(self)
        watch_forks(self)

    def bind(self) -> None:
        """Ask the providers, perhaps once more: global ones may have been replaced."""
        name, version = self.scope
        tracer_provider, meter_provider, logger_provider = self._providers
        self.tracer = trace.get_tracer(name, version, tracer_provider)
        self.meter = metrics.get_meter(name, version, meter_provider)
        self.logger = _logs.get_logger(name, version, logger_provider)
        self._writes: dict[Metric, _instruments.Write] = {}
        _instruments.settle_first(meter_provider or metrics.get_meter_provider(), self)

    def write_of(self, metric: Metric) -> _instruments.Write:
        """Return what takes a value of a metric, its attributes and its context."""
        write = self._writes.get(metric)
        if write is None:
            instrument = _instruments.create(self.meter, metric)
            write = self._writes[metric] = _instruments.write_of(instrument)
        return write

    def measure(self, metric: Metric, value: float, attributes: Mapping[str, Value] | None = None) -> None:
        """Add a value of a metric that belongs to no execution; cheap, also in finalisers. Never raises.

        Args:
            metric: of the runtime's own.
            value: in the metric's unit.
            attributes: with values of closed sets.
        """
        waiting = self._counted if metric.instrument in _SUMMED else self._measured
        if waiting is self._counted and len(waiting) >= MOST and not self._crowded:
            self._add_up()
            self._crowded = len(waiting) > MOST // 2  # not worth another try for each value
        if len(waiting) < MOST:
            waiting.append((metric, value, attributes))
        else:
            _guard.report("metrics.queue", OverflowError(f"{MOST} values wait: nobody collects metrics"))

    def measure_all(self, measurements: tuple[Measurement, ...]) -> None:
        """Add several values as `measure` does; no dearer than one, also in finalisers. Never raises."""
        self._together.append(measurements)
        if len(self._together) > MOST:
            self._take_apart()

    def _take_apart(self) -> None:
        """Measure one by one what was measured together; without a lock, as finalisers come here, too."""
        for _ in range(len(self._together)):
            try:
                measurements = self._together.popleft()
            except IndexError:  # another thread, or a finaliser of this one, was faster
                break
            for metric, value, attributes in measurements:
                Emitter.measure(self, metric, value, attributes)

    def _add_up(self) -> None:
        """Make one value of those of a counter that wait; without a lock, as finalisers come here, too."""
        sums: dict[object, Measurement] = {}
        for _ in range(len(self._counted)):
            try:
                metric, value, attributes = self._counted.popleft()
            except IndexError:  # another thread, or a finaliser of this one, was faster
                break
            key = metric.name, None if attributes is None else tuple(sorted(attributes.items()))
            before = sums.get(key)
            sums[key] = metric, value if before is None else before[1] + value, attributes
        self._counted.extend(sums.values())

    def settle(self) -> None:
        """Write what was measured so far; not in a finaliser, which may interrupt the SDK itself."""
        self._crowded = False
        self._take_apart()
        self._add_up()
        for waiting in (self._counted, self._measured):
            while waiting:
                try:
                    metric, value, attributes = waiting.popleft()
                except IndexError:  # another thread was faster
                    break
                try:
                    self.write_of(metric)(value, attributes, _NOWHERE)
                except Exception as error:  # noqa: BLE001 -- one value must not cost the others
                    _guard.report("metrics.write", error)

    def start_span(self, name: str, parent: Context, attributes: Mapping[str, Value]) -> Span:
        """Start a span beside the executions' own; whoever starts it ends it.

        Args:
            name: of the span.
            parent: the context that it is a child in.
            attributes: from its start.
        """
        return self.tracer.start_span(name, parent, attributes=attributes)

    def after_fork_in_child(self) -> None:
        """Leave to the parent what it has measured."""
        self._together.clear()
        self._counted.clear()
        self._measured.clear()

    def log(
        self,
        name: str,
        body: str,
        *,
        severity: Severity = "INFO",
        attributes: Mapping[str, Value] | None = None,
        execution: Execution | None = None,
    ) -> None:
        """Emit a log record now; not in a finaliser. Never raises.

        Args:
            name: of the event.
            body: one line for a human reader.
            severity: how bad it is.
            attributes: of the record.
            execution: in whose trace it is; by default, in the current one.
        """
        try:
            context: dict[str, Any] = {} if execution is None else {"context": execution.context}
            self.logger.emit(
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
    """Let every emitter of the global providers ask for them again: they were replaced."""
    for emitter in list(_emitters):
        emitter.bind()
