"""The direct recorder: the OpenTelemetry API, on the calling thread, with any SDK."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakSet

from opentelemetry import _logs, context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, Status, StatusCode

from sandscope import _guard, _instruments, _mapping
from sandscope._execution import Execution
from sandscope._metric import ACTIVE, Metric
from sandscope._recorder import Scope, recording
from sandscope._site import Site
from sandscope._verdict import OK, Verdict

_recorders: WeakSet[DirectRecorder] = WeakSet()


def rebind() -> None:
    """Let every recorder of the global providers ask for them again: they were replaced."""
    for recorder in list(_recorders):
        recorder._bind()


class DirectExecution(Execution):
    """An execution with a span of the SDK's."""

    __slots__ = ("_clock", "_end_time", "_recorder", "_start_time", "_token", "inside", "span")

    def __init__(self, recorder: DirectRecorder, site: Site) -> None:
        self.site = site
        self.verdict = None
        self.details = None
        self.span: Span = trace.INVALID_SPAN
        self.inside = context.get_current()
        self._recorder = recorder
        self._token: object = None
        self._end_time = 0
        self._start_time = time.time_ns()
        self._clock = time.perf_counter_ns()

    @property
    def context(self) -> Context:
        """See `Execution.context`."""
        return self.inside

    @property
    def start_time(self) -> int:
        """See `Execution.start_time`."""
        return self._start_time

    @property
    def end_time(self) -> int:
        """See `Execution.end_time`."""
        return self._end_time

    def start(self) -> None:
        """Start the span, and make it current if the site asks for it."""
        self.span = self._recorder.start_span(self)
        self.inside = trace.set_span_in_context(self.span, self.inside)
        self._recorder.count_active(self, 1)
        if self.site.current:
            self._token = context.attach(self.inside)

    def finish(self, verdict: Verdict = OK, *, end_time: int | None = None) -> None:
        """See `Execution.finish`."""
        if self.verdict is not None:
            return
        self.verdict = verdict
        # The wall clock may jump while an execution runs; its duration must not.
        elapsed = time.perf_counter_ns() - self._clock
        self._end_time = self._start_time + elapsed if end_time is None else end_time
        token, self._token = self._token, None
        try:
            if token is not None:
                context.detach(token)  # type: ignore[arg-type] # an opaque token
            if self.span is not trace.INVALID_SPAN:
                self._recorder.record(self)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.finish", error)


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

    def begin(self, site: Site) -> Execution | None:
        """See `Recorder.begin`."""
        if not is_instrumentation_enabled():
            return None
        execution = DirectExecution(self, site)
        try:
            execution.start()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.begin", error)
        return execution

    def wrap_method(self, method: Callable[..., Any], attribute: str, default: Site) -> Callable[..., Any]:
        """See `Recorder.wrap_method`."""

        @wraps(method)
        def call(self_: Any, *args: Any, **kwargs: Any) -> Any:
            return recording(self.begin, getattr(self_, attribute, default), method, self_, *args, **kwargs)

        return call

    def start_span(self, execution: Execution) -> Span:
        """Start the span of an execution."""
        return self._tracer.start_span(
            execution.site.name,
            kind=execution.site.kind,
            attributes=_mapping.start_attributes(execution.site),
            start_time=execution.start_time,
            record_exception=False,
            set_status_on_exception=False,
        )

    def count_active(self, execution: Execution, change: int) -> None:
        """Count an execution as running, or as running no longer."""
        self._active(change, _mapping.active_attributes(execution.site), execution.context)

    def record(self, execution: DirectExecution) -> None:
        """Write all three signals of an ended execution."""
        self._end_span(execution, execution.span)
        self.count_active(execution, -1)
        for metric, value, attributes in _mapping.points(execution):
            self._write(metric)(value, attributes, execution.context)
        self._emit(execution)

    def _bind(self) -> None:
        name, version = self._scope
        tracer_provider, meter_provider, logger_provider = self._providers
        self._tracer = trace.get_tracer(name, version, tracer_provider)
        self._meter = metrics.get_meter(name, version, meter_provider)
        self._logger = _logs.get_logger(name, version, logger_provider)
        self._writes: dict[Metric, _instruments.Write] = {}
        self._active = self._write(ACTIVE)
        _instruments.show_errors(meter_provider or metrics.get_meter_provider())

    def _end_span(self, execution: Execution, span: Span) -> None:
        if span.is_recording():
            span.set_attributes(_mapping.end_attributes(execution))
            for event in execution.details.events if execution.details is not None else ():
                span.add_event(event.name, event.attributes, event.time)
            if execution.verdict is not None and execution.verdict.status != "OK":
                span.set_status(Status(StatusCode.ERROR, execution.verdict.cause))
        span.end(execution.end_time)

    def _emit(self, execution: Execution) -> None:
        assert execution.verdict is not None  # noqa: S101 -- it has ended
        number, text = _mapping.severity(execution.verdict)
        self._logger.emit(
            timestamp=execution.end_time,
            observed_timestamp=execution.end_time,
            context=execution.context,
            severity_number=number,
            severity_text=text,
            body=_mapping.body(execution.site, execution.verdict),
            attributes=_mapping.log_attributes(execution),
            event_name=_mapping.EVENT_NAME,
        )

    def _write(self, metric: Metric) -> _instruments.Write:
        write = self._writes.get(metric)
        if write is None:
            instrument = _instruments.create(self._meter, metric)
            write = self._writes[metric] = _instruments.write_of(instrument)
        return write
