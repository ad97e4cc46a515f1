"""The execution of the deferred recorder: it is its own span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

from sandscope._deferred import _clock
from sandscope._deferred._compiled import Record
from sandscope._deferred._hot_path import Owner
from sandscope._execution import Execution
from sandscope._internals import SPAN_KEY
from sandscope._internals._span_buffer import SpanBuffer
from sandscope._locks import new_lock
from sandscope._recording import _mapping
from sandscope._recording._span import write_end, write_events

_lock = new_lock()


class DeferredExecution(Record, Execution):
    """A record as an execution, and as the `Span` that OpenTelemetry's API asks for.

    User code that asks for the current span gets it, may write on it while it runs, and may read it. Ids
    and the sampling decision are made when first asked for.

    Attributes:
        limits: of what the program writes; of the class, as reading them from the environment takes long.
    """

    __slots__ = ()

    limits: SpanLimits | None = None

    # -- as an execution

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

    # -- as a span, while it runs

    def get_span_context(self) -> SpanContext:
        """Return ids and flags, made at the first call."""
        identity = self.identity
        return self.adopt(self.recorder.identify(self)) if identity is None else identity

    def is_recording(self) -> bool:
        """Return whether it runs and is sampled."""
        return self.verdict is None and self.get_span_context().trace_flags.sampled

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of span and log record; ignored after the end."""
        self.set_attributes({key: value})

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link to the span; ignored after the end."""
        if self.verdict is None:
            self._write().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Rename the span; ignored after the end."""
        if self.verdict is None:
            self._write().update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the span's status, which the verdict's replaces unless it is OK; ignored after the end."""
        if self.verdict is None:
            self._write().set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an exception to the span as an event; ignored after the end."""
        if self.verdict is None:
            self._write().record_exception(exception, attributes, timestamp, escaped)

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the execution ends when its code does, whatever the code says."""

    def __enter__(self) -> DeferredExecution:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    # -- as a span that can be read

    @property
    def parent(self) -> SpanContext | None:
        """The context of the parent, or None."""
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
        """Add an event to the span; ignored after the end."""
        details = self.details
        if self.verdict is None and details is not None and details.written is not None:
            details.written.add_event(name, attributes, timestamp)  # they are kept in order
        else:
            super().add_event(name, attributes, timestamp)

    def span_data(self, limits: SpanLimits | None = None) -> SpanBuffer:
        """Return what is on the span by now.

        Args:
            limits: as a tracer provider has them. What the program has written was limited before.
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


def recorded_by(recorder: Owner) -> type[DeferredExecution]:
    """Return the class of one recorder's executions: cheaper than an attribute of each."""
    of_class = {"__slots__": (), "recorder": recorder, "limits": SpanLimits()}
    return type("DeferredExecution", (DeferredExecution,), of_class)
