"""The direct recorder: calls the OpenTelemetry API on the calling thread. Works with any SDK."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from opentelemetry import _logs, context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from sandscope import _guard, _internals, _settings
from sandscope._execution import EXECUTION_KEY, Execution, Site
from sandscope._metric import ACTIVE
from sandscope._own_process._forking import forked_at
from sandscope._recording import _direct_use, _mapping
from sandscope._recording._carried import carry
from sandscope._recording._emitter import Emitter
from sandscope._recording._recorder import (
    is_measured,
    recording,
    shared_details_of,
    with_details,
)
from sandscope._recording._span import write_end
from sandscope._scope import Scope
from sandscope._verdict import OK, Verdict


class DirectExecution(Execution):
    """An execution that has a span of the OpenTelemetry API."""

    __slots__ = (
        "__weakref__",
        "_clock",
        "_end_time",
        "_start_time",
        "_started",
        "_token",
        "details",
        "inside",
        "parent_context",
        "recorder",
        "site",
        "span",
        "verdict",
    )

    recorder: DirectRecorder

    def __init__(self, recorder: DirectRecorder, site: Site, start_time: int | None = None) -> None:
        self.site = site
        self.verdict = None
        self.details = None
        self.span: Span = trace.INVALID_SPAN
        self.parent_context = self.inside = context.get_current()
        self.recorder = recorder
        self._started = False
        self._token: object = None
        self._end_time = 0
        self._start_time = time.time_ns()
        self._clock = time.perf_counter_ns()
        if start_time is not None:
            self._clock -= self._start_time - start_time
            self._start_time = start_time

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

    def prepare(self) -> None:
        """Start the span."""
        if self.site.traced:
            self.span = self.recorder.start_execution_span(self)
            self.inside = trace.set_span_in_context(self.span, self.inside)
            self.inside = context.set_value(EXECUTION_KEY, self, self.inside)

    def start(self) -> None:
        """Count the execution, and make its span the current span if the site requires it."""
        _direct_use.on_begin()
        self.recorder.count_active(self, 1)
        self._started = True
        if self.site.current:
            self._token = context.attach(self.inside)

    def confirm(self, site: Site) -> None:
        """See `Execution.confirm`."""
        self.site = site
        try:
            self.span.update_name(site.name)
            self.span.set_attributes(_mapping.start_attributes(site))
            self.start()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.begin", error)

    def finish(self, verdict: Verdict = OK, *, end_time: int | None = None) -> None:
        """See `Execution.finish`."""
        if self.verdict is not None:
            return
        self.verdict = verdict
        # The wall clock may be adjusted while an execution runs; the duration must not be affected.
        elapsed = time.perf_counter_ns() - self._clock
        self._end_time = self._start_time + elapsed if end_time is None else end_time
        token, self._token = self._token, None
        try:
            if token is not None:
                context.detach(token)  # type: ignore[arg-type] # an opaque token
            # The parent process records the execution in which it has forked.
            if self._started and self._clock >= forked_at():
                self.recorder.record(self)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.finish", error)


class DirectRecorder(Emitter):
    """Records executions with the tracer, meter and logger of one instrumentation scope."""

    def __init__(
        self,
        scope: Scope,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        logger_provider: _logs.LoggerProvider | None = None,
    ) -> None:
        super().__init__(scope, tracer_provider, meter_provider, logger_provider)

    def bind(self) -> None:
        """See `Emitter.bind`."""
        super().bind()
        self._active = self.write_of(ACTIVE)

    def begin(self, site: Site) -> Execution | None:
        """See `Recorder.begin`."""
        return self.begin_at(site, None)

    def begin_at(self, site: Site, start_time: int | None) -> Execution | None:
        """See `Recorder.begin_at`."""
        execution = self._prepare(site, start_time)
        if execution is not None:
            try:
                execution.start()
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("recorder.begin", error)
        return execution

    def prepare(self, site: Site) -> Execution | None:
        """See `Recorder.prepare`."""
        return self._prepare(site, None)

    def _prepare(self, site: Site, start_time: int | None) -> DirectExecution | None:
        if not _internals.is_instrumentation_enabled():
            return None
        execution = DirectExecution(self, site, start_time)
        try:
            execution.prepare()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.begin", error)
        return execution

    def wrap_method(
        self,
        method: Callable[..., Any],
        attribute: str,
        default: Site,
        shared: str | None = None,
        *,
        measured: Callable[..., Any] | None = None,
        measures_all: bool = False,
    ) -> Callable[..., Any]:
        """See `Recorder.wrap_method`."""

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            site = getattr(args[0] if args else None, attribute, default)
            details = shared_details_of(args, kwargs, shared)
            if measured is not None and details is not None and is_measured(details, always=measures_all):
                return measured(*args, **kwargs)
            begin = self.begin if details is None else with_details(self.begin, details)
            return recording(begin, site, method, *args, **kwargs)

        return call

    def start_execution_span(self, execution: Execution) -> Span:
        """Start the span of an execution."""
        return self.tracer.start_span(
            execution.site.name,
            kind=execution.site.kind,
            attributes=_mapping.start_attributes(execution.site),
            start_time=execution.start_time,
            record_exception=False,
            set_status_on_exception=False,
        )

    def count_active(self, execution: Execution, change: int) -> None:
        """Add to the number of running executions.

        Args:
            execution: the execution that starts or ends.
            change: 1 at the start, -1 at the end.
        """
        self._active(change, _mapping.active_attributes(execution.site), execution.context)

    def record(self, execution: DirectExecution) -> None:
        """Write the span, the log record and the metrics of an ended execution. Each may fail independently."""
        execution._call_on_end()
        # The log record also has the attributes that the program has set on the span. Not every SDK exposes them.
        written = dict(getattr(execution.span, "attributes", None) or {})
        if execution.site.traced or _settings.metric_attributes():
            self._write(lambda: carry((execution,)))
        if execution.site.traced:
            self._write(lambda: self._end_span(execution))
            self._write(lambda: self._emit(execution, written))
        self._write(lambda: self._count(execution))
        self.settle()
        _direct_use.on_measurement()

    def export_soon(self) -> None:
        """See `Recorder.export_soon`."""
        _direct_use.on_measurement()

    @staticmethod
    def _write(write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.finish", error)

    def _count(self, execution: DirectExecution) -> None:
        self.count_active(execution, -1)
        for metric, value, attributes in _mapping.points(execution):
            self.write_of(metric)(value, attributes, execution.context)

    def _end_span(self, execution: DirectExecution) -> None:
        span = execution.span
        try:
            if span.is_recording():
                write_end(execution, span)
        finally:
            span.end(execution.end_time)

    def _emit(self, execution: DirectExecution, written: Mapping[str, Any]) -> None:
        assert execution.verdict is not None  # noqa: S101 -- it has ended
        number, text = _mapping.severity(execution.verdict)
        self.logger.emit(
            timestamp=execution.end_time,
            observed_timestamp=execution.end_time,
            context=execution.context,
            severity_number=number,
            severity_text=text,
            body=_mapping.body(execution.site, execution.verdict),
            # In the order in which they were set, which decides what is dropped beyond the SDK's limit.
            attributes={
                **_mapping.start_attributes(execution.site),
                **written,
                **_mapping.log_attributes(execution),
            },
            event_name=_mapping.EVENT_NAME,
        )
