"""The execution of the deferred recorder, which is also its own span."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

from sandscope import _guard
from sandscope._deferred import _clock
from sandscope._deferred._compiled import Record
from sandscope._deferred._hot_path import HotPathRecorder
from sandscope._execution import Execution, Site
from sandscope._internals import SPAN_KEY
from sandscope._internals._span_buffer import SpanBuffer
from sandscope._locks import new_lock
from sandscope._recording import _mapping
from sandscope._recording._span import write_end, write_events

_lock = new_lock()


class DeferredExecution(Record, Execution):
    """A record that implements `Execution` and OpenTelemetry's `Span`.

    It is the current span while it runs, so the program can read it and write to it. The span context and the
    sampling decision are created on first use.

    Attributes:
        limits: the limits for data that the program writes. A class attribute, because reading the limits from the
            environment is slow.
    """

    __slots__ = ()

    limits: SpanLimits | None = None

    # -- Execution

    @classmethod
    def prepared(cls, site: Site, parent: Context) -> DeferredExecution:
        """See `Recorder.prepare`."""
        execution = cls.__new__(cls)
        execution.site, execution.parent_context, execution.started = site, parent, perf_counter_ns()
        execution.verdict = execution.details = execution.identity = execution.token = None
        return execution

    def confirm(self, site: Site) -> None:
        """See `Execution.confirm`."""
        self.site = site
        self.recorder.check_context(self.parent_context)
        self.recorder.aggregator.starts[site]()
        if self.recorder.slots is not None:
            self.recorder.slots.begin(self)

    @property
    def context(self) -> Context:
        """See `Execution.context`."""
        return trace.set_span_in_context(self, self.parent_context)  # type: ignore[arg-type] # registered below

    @property
    def start_time(self) -> int:
        """See `Execution.start_time`."""
        return self.started + _clock.offset

    @property
    def end_time(self) -> int:
        """See `Execution.end_time`."""
        return 0 if self.verdict is None else self.ended + _clock.offset

    @property
    def duration(self) -> float:
        """See `Execution.duration`."""
        return 0.0 if self.verdict is None else max(0, self.ended - self.started) / 1e9

    # -- Span

    def get_span_context(self) -> SpanContext:
        """Return the span context, creating it at the first call."""
        identity = self.identity
        if identity is not None:
            return identity
        # The outermost first, so that none has to ask its parent: a guest may nest executions as deep as the stack is.
        try:
            if not self.parent_context:
                return self.adopt(self.recorder.identify(self))
            for execution in reversed(self._without_identity()):
                identity = execution.adopt(execution.recorder.identify(execution))
        except (
            RecursionError
        ) as error:  # the program has used up its stack; the background thread tries again
            _guard.report("recorder.identify", error)
            return trace.INVALID_SPAN_CONTEXT
        return identity  # type: ignore[return-value] # of this execution, the last

    def _without_identity(self) -> list[DeferredExecution]:
        """Return this execution and those ancestors, from the inside, that have no span context either."""
        found = [self]
        while True:
            parent: Any = found[-1].parent_context.get(SPAN_KEY)
            if not isinstance(parent, DeferredExecution) or parent.identity is not None:
                return found
            found.append(parent)

    def is_recording(self) -> bool:
        """Return whether the execution is running and sampled."""
        return self.verdict is None and self.get_span_context().trace_flags.sampled

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of the span and the log record. Has no effect after the end."""
        self.set_attributes({key: value})

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link to the span. Has no effect after the end."""
        if self.verdict is None:
            self._write().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Rename the span. Has no effect after the end."""
        if self.verdict is None:
            self._write().update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the span's status. A verdict other than OK replaces it. Has no effect after the end."""
        if self.verdict is None:
            self._write().set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an exception event to the span. Has no effect after the end."""
        if self.verdict is None:
            self._write().record_exception(exception, attributes, timestamp, escaped)

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: only the instrumentation ends the execution."""

    def __enter__(self) -> DeferredExecution:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    # -- the properties of ReadableSpan

    @property
    def parent(self) -> SpanContext | None:
        """The span context of the parent, or None."""
        parent: Any = self.parent_context.get(SPAN_KEY)
        context: SpanContext | None = None if parent is None else parent.get_span_context()
        return context if context is not None and context.is_valid else None

    @property
    def name(self) -> str:
        """The span's name."""
        return self.span_data().name

    @property
    def kind(self) -> SpanKind:
        """The span's kind."""
        return self.site.kind

    @property
    def attributes(self) -> Attributes:
        """The span's attributes."""
        return self.span_data().attributes

    @property
    def events(self) -> Sequence[SpanEvent]:
        """The span's events."""
        return self.span_data().events

    @property
    def links(self) -> Sequence[Link]:
        """The span's links."""
        return self.span_data().links

    @property
    def status(self) -> Status:
        """The span's status."""
        return self.span_data().status

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event to the span. Has no effect after the end."""
        details = self.details
        if self.verdict is None and details is not None and details.written is not None:
            details.written.add_event(name, attributes, timestamp)  # keeps the order of events
        else:
            super().add_event(name, attributes, timestamp)

    def span_data(self, limits: SpanLimits | None = None) -> SpanBuffer:
        """Return the span's current data.

        Args:
            limits: the span limits, for data that the program has not written; data of the program is already limited.
        """
        details = self.details
        if details is None or details.written is None:
            data = self._new_data(limits)
            write_end(self, data)
            return data
        written: SpanBuffer = details.written
        if self.verdict is not None:
            with _lock:
                if not written.complete:
                    written.complete = True
                    write_end(self, written)
        return written

    def _write(self) -> SpanBuffer:
        details = self._ensure_details()
        if details.written is None:
            with _lock:
                if details.written is None:
                    details.written = self._new_data()
                    write_events(details.written, details)
                    details.events = []
        written: SpanBuffer = details.written
        return written

    def _new_data(self, limits: SpanLimits | None = None) -> SpanBuffer:
        data = SpanBuffer(self.site.name, limits or self.limits or SpanLimits())
        data.set_attributes(_mapping.start_attributes(self.site))
        return data


trace.Span.register(DeferredExecution)


def recorded_by(recorder: HotPathRecorder) -> type[DeferredExecution]:
    """Return the execution class of a recorder: a class attribute costs less than an attribute of each execution."""
    of_class = {"__slots__": (), "recorder": recorder, "limits": SpanLimits()}
    return type("DeferredExecution", (DeferredExecution,), of_class)
