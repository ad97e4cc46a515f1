"""The direct recorder: the OpenTelemetry API, on the calling thread, with any SDK."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import cast
from weakref import WeakSet

from opentelemetry import _logs, context, metrics, trace
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation, UpDownCounter, _Gauge
from opentelemetry.trace import Span, Status, StatusCode

from sandscope import _guard, _mapping
from sandscope._execution import Execution, Site
from sandscope._metric import ACTIVE, TELEMETRY_ERRORS, Metric
from sandscope._recorder import Scope
from sandscope._verdict import MISSING_EVIDENCE, OK, Verdict

_Write = Callable[[float, dict[str, str], context.Context], None]


_recorders: WeakSet[DirectRecorder] = WeakSet()


def rebind() -> None:
    """Let every recorder of the global providers ask for them again: they were replaced."""
    for recorder in list(_recorders):
        recorder._bind()


class _Running:
    """What the recorder keeps of an execution that runs."""

    __slots__ = ("clock", "span", "token")

    def __init__(self, span: Span, token: object, clock: int) -> None:
        self.span = span
        self.token = token
        self.clock = clock


class DirectRecorder:
    """Records each execution through tracer, meter and logger of one instrumentation scope."""

    def __init__(
        self,
        scope: Scope,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        logger_provider: _logs.LoggerProvider | None = None,
    ) -> None:
        self._providers = (tracer_provider, meter_provider, logger_provider)
        self._scope = scope
        self._bind()
        _recorders.add(self)

    def _bind(self) -> None:
        name, version = self._scope
        tracer_provider, meter_provider, logger_provider = self._providers
        self._tracer = trace.get_tracer(name, version, tracer_provider)
        self._meter = metrics.get_meter(name, version, meter_provider)
        self._logger = _logs.get_logger(name, version, logger_provider)
        self._writes: dict[Metric, _Write] = {}
        self._active = self._write(ACTIVE)
        self._meter.create_observable_counter(
            TELEMETRY_ERRORS.name, [_observe_errors], TELEMETRY_ERRORS.unit, TELEMETRY_ERRORS.description
        )

    def begin(self, site: Site, *, attach: bool = True) -> Execution:
        """Start a span and, if asked, make it current; see `Recorder.begin`."""
        start_time = time.time_ns()
        execution = Execution(site, context.Context(), start_time)
        try:
            execution.context = context.get_current()
            span = self._tracer.start_span(
                site.name,
                kind=site.kind,
                attributes=_mapping.start_attributes(site),
                start_time=start_time,
                record_exception=False,
                set_status_on_exception=False,
            )
            execution.context = trace.set_span_in_context(span, execution.context)
            self._active(1, _mapping.active_attributes(site), execution.context)
            token = context.attach(execution.context) if attach else None
            execution.token = _Running(span, token, time.perf_counter_ns())
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.begin", error)
        return execution

    def end(self, execution: Execution, verdict: Verdict = OK, *, end_time: int | None = None) -> None:
        """Write span, points and log record; see `Recorder.end`."""
        clock = time.perf_counter_ns()
        running = execution.token
        if not isinstance(running, _Running):
            return
        execution.token = None
        execution.verdict = verdict
        # The wall clock may jump while an execution runs; its duration must not.
        execution.end_time = execution.start_time + clock - running.clock if end_time is None else end_time
        try:
            if running.token is not None:
                context.detach(running.token)  # type: ignore[arg-type] # an opaque token
            self._end_span(execution, running.span, verdict)
            self._active(-1, _mapping.active_attributes(execution.site), execution.context)
            for metric, value, attributes in _mapping.points(execution):
                self._write(metric)(value, attributes, execution.context)
            self._emit(execution, verdict)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.end", error)

    def fail(self, execution: Execution, error: BaseException) -> None:
        """End with an exception; see `Recorder.fail`."""
        try:
            execution.error = error
            verdict = execution.site.verdict_of(error)
        except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("verdict", broken)
            verdict = MISSING_EVIDENCE
        self.end(execution, verdict)

    def _end_span(self, execution: Execution, span: Span, verdict: Verdict) -> None:
        if span.is_recording():
            span.set_attributes(_mapping.end_attributes(execution))
            for event in execution.events:
                span.add_event(event.name, event.attributes, event.time)
            if verdict.status != "OK":
                span.set_status(Status(StatusCode.ERROR, verdict.cause))
        span.end(execution.end_time)

    def _emit(self, execution: Execution, verdict: Verdict) -> None:
        number, text = _mapping.severity(verdict)
        self._logger.emit(
            timestamp=execution.end_time,
            observed_timestamp=execution.end_time,
            context=execution.context,
            severity_number=number,
            severity_text=text,
            body=_mapping.body(execution),
            attributes=_mapping.log_attributes(execution),
            event_name=_mapping.EVENT_NAME,
        )

    def _write(self, metric: Metric) -> _Write:
        write = self._writes.get(metric)
        if write is None:
            write = self._writes[metric] = self._create(metric)
        return write

    def _create(self, metric: Metric) -> _Write:
        name, kind, unit, description, boundaries = metric
        instrument: Counter | UpDownCounter | Histogram | _Gauge
        if kind == "counter":
            instrument = self._meter.create_counter(name, unit, description)
            return instrument.add
        if kind == "updowncounter":
            instrument = self._meter.create_up_down_counter(name, unit, description)
            return instrument.add
        if kind == "gauge":
            instrument = self._meter.create_gauge(name, unit, description)
            return cast(_Write, instrument.set)
        instrument = self._meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=boundaries
        )
        return instrument.record


def _observe_errors(_options: CallbackOptions) -> Iterable[Observation]:
    return [Observation(count, {_mapping.PLACE: place}) for place, count in _guard.counts().items()]
