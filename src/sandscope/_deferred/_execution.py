"""The execution of the deferred recorder: it is its own span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

from sandscope import _mapping
from sandscope._deferred import _clock
from sandscope._deferred._compiled import Record
from sandscope._emitter import Severity
from sandscope._execution import Execution
from sandscope._internals import SPAN_KEY
from sandscope._site import Value

if TYPE_CHECKING:
    from sandscope._deferred._recorder import DeferredRecorder


class SpanData:
    """What the program itself wrote on the span of an execution, by `trace.get_current_span()`."""

    __slots__ = ("events", "links", "name", "status")

    def __init__(self) -> None:
        self.name: str | None = None
        self.status: Status | None = None
        self.events: list[SpanEvent] = []
        self.links: list[Link] = []


class DeferredExecution(Record, Execution):
    """A record as an execution, and as the `Span` that OpenTelemetry's API asks for.

    User code that asks for the current span gets it, may write on it while it runs, and may read it. Ids
    and the sampling decision are made when first asked for.
    """

    __slots__ = ()

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

    def log(
        self,
        name: str,
        body: str,
        *,
        severity: Severity = "INFO",
        attributes: Mapping[str, Value] | None = None,
    ) -> None:
        """See `Execution.log`."""
        self.recorder.log(name, body, severity=severity, attributes=attributes, execution=self)

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
        if self.verdict is None:
            self.more().attributes[key] = value  # type: ignore[assignment]

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set attributes of span and log record; ignored after the end."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event to the span; ignored after the end."""
        if self.verdict is None:
            self._write().events.append(SpanEvent(name, attributes, timestamp))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link to the span; ignored after the end."""
        if self.verdict is None:
            self._write().links.append(Link(context, attributes))

    def update_name(self, name: str) -> None:
        """Rename the span; ignored after the end."""
        if self.verdict is None:
            self._write().name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the span's status, which the verdict's replaces unless that is OK; ignored after the end."""
        if self.verdict is None:
            given = Status(status, description) if isinstance(status, StatusCode) else status
            self._write().status = given

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an exception to the span as an event; ignored after the end."""
        what = {
            "exception.type": type(exception).__qualname__,
            "exception.message": str(exception),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**what, **(attributes or {})}, timestamp)

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
        written = self.written
        return self.site.name if written is None or written.name is None else written.name

    @property
    def kind(self) -> SpanKind:
        """The span's kind."""
        return self.site.kind

    @property
    def attributes(self) -> dict[str, Any]:
        """The span's attributes."""
        start: dict[str, Any] = dict(_mapping.start_attributes(self.site))
        if self.verdict is not None:
            return {**start, **_mapping.end_attributes(self)}
        return {**start, **(self.details.attributes if self.details is not None else {})}

    @property
    def events(self) -> Sequence[SpanEvent]:
        """The span's events, the runtime's before the program's."""
        noted = self.details.events if self.details is not None else ()
        written = self.written.events if self.written is not None else ()
        return [*(SpanEvent(event.name, event.attributes, event.time) for event in noted), *written]

    @property
    def links(self) -> Sequence[Link]:
        """The span's links."""
        return self.written.links if self.written is not None else ()

    @property
    def status(self) -> Status:
        """The span's status."""
        if self.verdict is not None and self.verdict.status != "OK":
            return Status(StatusCode.ERROR, self.verdict.cause)
        if self.written is not None and self.written.status is not None:
            return self.written.status
        return Status()

    @property
    def written(self) -> SpanData | None:
        """What the program itself wrote on the span, beside attributes."""
        return None if self.details is None else self.details.written

    def _write(self) -> SpanData:
        details = self.more()
        written: SpanData | None = details.written
        if written is None:
            written = details.written = SpanData()
        return written


trace.Span.register(DeferredExecution)


def recorded_by(recorder: DeferredRecorder) -> type[DeferredExecution]:
    """Return the class of one recorder's executions: cheaper than an attribute of each."""
    return type("DeferredExecution", (DeferredExecution,), {"__slots__": (), "recorder": recorder})
