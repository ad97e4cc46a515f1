"""The record of the deferred recorder: an execution that is its own span."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

from sandscope import _mapping
from sandscope._deferred import _clock
from sandscope._execution import Execution
from sandscope._internals import SPAN_KEY
from sandscope._verdict import OK, Verdict

if TYPE_CHECKING:
    from sandscope._deferred._recorder import DeferredRecorder

# Signal handlers and finalisers may ask for the current span while this thread is making its ids.
_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 -- it is the module's
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)  # another thread may have held it, and is not there


class SpanData:
    """What the program itself wrote on the span of an execution, by `trace.get_current_span()`."""

    __slots__ = ("events", "links", "name", "status")

    def __init__(self) -> None:
        self.name: str | None = None
        self.status: Status | None = None
        self.events: list[SpanEvent] = []
        self.links: list[Link] = []


class DeferredExecution(Execution):
    """What the calling thread leaves behind; all else is derived from it later.

    It is registered as an OpenTelemetry `Span`: user code that asks for the current span gets it, may
    write on it while it runs, and may read it. Ids and the sampling decision are made when first asked for.

    Attributes:
        recorder: whose it is.
        parent_context: the context in which it began.
        started: `perf_counter_ns` at the start.
        ended: the same at the end; unset while it runs.
        identity: its span context, once somebody has asked.
        written: what the program wrote on the span, beside attributes.
        token: what restores the parent's context.
    """

    __slots__ = ("ended", "identity", "parent_context", "recorder", "started", "token", "written")

    recorder: DeferredRecorder
    parent_context: Context
    started: int
    ended: int
    identity: SpanContext | None
    written: SpanData | None
    token: Any

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

    def finish(self, verdict: Verdict = OK, *, end_time: int | None = None) -> None:
        """See `Execution.finish`."""
        ended = perf_counter_ns() if end_time is None else max(self.started, end_time - _clock.offset)
        # No call in between: a signal handler or another thread may end it, too.
        if self.verdict is None:
            self.ended = ended
            self.verdict = verdict
            self.recorder.take(self)

    # -- as a span, while it runs

    def get_span_context(self) -> SpanContext:
        """Return ids and flags, made at the first call."""
        identity = self.identity
        if identity is None:
            made = self.recorder.identify(self)
            with _lock:
                identity = self.identity = self.identity or made
        return identity

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
        return self.site.name if self.written is None or self.written.name is None else self.written.name

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

    def _write(self) -> SpanData:
        written = self.written
        if written is None:
            written = self.written = SpanData()
        return written


trace.Span.register(DeferredExecution)
