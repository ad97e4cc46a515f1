"""The SDK's objects as OTLP messages, byte for byte as the SDK's encoder makes them.

Unlike it, a record is not lost for one part of it: what cannot be encoded is left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, TraceState

from sandscope import _guard
from sandscope._deferred import _wire

SPAN_ATTRIBUTES = 9
LOG_ATTRIBUTES = 6
_RECORDS = _wire.tag(2, 2)
"""A scope's spans, and its log records."""

_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
_Item = TypeVar("_Item")


def request(resource: Resource, scope: InstrumentationScope) -> Callable[[bytes], bytes]:
    """Return what puts a scope's records, encoded as fields, into a whole request for spans or logs."""
    scope_fields = (
        _wire.string(1, scope.name)
        + _wire.string(2, scope.version or "")
        + _wire.attributes(3, scope.attributes or {})
    )
    before_records = _wire.message(1, scope_fields)
    after_records = _wire.string(3, scope.schema_url or "")
    before_scope = _wire.message(1, _wire.attributes(1, resource.attributes))
    after_scope = _wire.string(3, resource.schema_url or "")

    def make(records: bytes) -> bytes:
        in_scope = _wire.message(2, before_records + records + after_records)
        return _wire.message(1, before_scope + in_scope + after_scope)

    return make


def record_of(length: int) -> bytes:
    """Return what stands before a record of a length in bytes."""
    return _RECORDS + _wire.varint(length)


def span(readable: ReadableSpan) -> bytes:
    """Return a Span."""
    context, parent = readable.get_span_context(), readable.parent
    assert context is not None  # noqa: S101 -- a span of ours
    return b"".join(
        (
            identity(context, parent),
            span_head(readable.name, readable.kind),
            _wire.fixed64(7, readable.start_time or 0),
            _wire.fixed64(8, readable.end_time or 0),
            _wire.attributes(SPAN_ATTRIBUTES, readable.attributes or {}),
            _wire.integer(10, readable.dropped_attributes),
            _each(11, readable.events, _event),
            _wire.integer(12, readable.dropped_events),
            _each(13, readable.links, _link),
            _wire.integer(14, readable.dropped_links),
            status(readable.status),
            span_flags(parent is not None and parent.is_remote),
        )
    )


def identity(context: SpanContext, parent: SpanContext | None) -> bytes:
    """Return a Span's fields of ids and trace state."""
    return b"".join(
        (
            _wire.octets(1, context.trace_id.to_bytes(16, "big")),
            _wire.octets(2, context.span_id.to_bytes(8, "big")),
            trace_state(context.trace_state),
            b"" if parent is None else _wire.octets(4, parent.span_id.to_bytes(8, "big")),
        )
    )


def trace_state(state: TraceState) -> bytes:
    """Return a Span's field of trace state."""
    return _wire.string(3, ",".join(f"{key}={value}" for key, value in state.items()))


def span_head(name: str, kind: SpanKind) -> bytes:
    """Return a Span's fields of name and kind."""
    return _wire.string(5, name) + _wire.integer(6, kind.value + 1)


def span_flags(remote: bool) -> bytes:
    """Return a Span's field of flags, which say whether its parent is remote."""
    return _wire.fixed32(16, _HAS_IS_REMOTE | (_IS_REMOTE if remote else 0))


def status(value: Status) -> bytes:
    """Return a Span's field of status."""
    fields = _wire.string(2, value.description or "") + _wire.integer(3, value.status_code.value)
    return _wire.message(15, fields)


def log(readable: ReadableLogRecord) -> bytes:
    """Return a LogRecord."""
    record = readable.log_record
    severity = (record.severity_number or SeverityNumber.UNSPECIFIED, record.severity_text or "")
    return b"".join(
        (
            _wire.fixed64(1, record.timestamp or 0),
            log_head(severity, str(record.body)),
            _wire.attributes(LOG_ATTRIBUTES, record.attributes or {}),
            _wire.integer(7, readable.dropped_attributes),
            _wire.fixed32(8, int(record.trace_flags or 0)),
            _wire.octets(9, record.trace_id.to_bytes(16, "big") if record.trace_id else b""),
            _wire.octets(10, record.span_id.to_bytes(8, "big") if record.span_id else b""),
            _wire.fixed64(11, record.observed_timestamp or 0),
            _wire.string(12, record.event_name or ""),
        )
    )


def log_head(severity: tuple[SeverityNumber, str], body: str) -> bytes:
    """Return a LogRecord's fields of severity and body."""
    number, text = severity
    return (
        _wire.integer(2, number.value)
        + _wire.string(3, text)
        + _wire.message(5, _wire.message(1, _wire.text(body)))
    )


def _event(event: Event) -> bytes:
    return (
        _wire.fixed64(1, event.timestamp)
        + _wire.string(2, event.name)
        + _wire.attributes(3, event.attributes or {})
        + _wire.integer(4, event.dropped_attributes)
    )


def _link(link: Link) -> bytes:
    return (
        _wire.octets(1, link.context.trace_id.to_bytes(16, "big"))
        + _wire.octets(2, link.context.span_id.to_bytes(8, "big"))
        + _wire.attributes(4, link.attributes or {})
        + _wire.integer(5, link.dropped_attributes)
        + _wire.fixed32(6, _HAS_IS_REMOTE | (_IS_REMOTE if link.context.is_remote else 0))
    )


def _each(number: int, items: Sequence[_Item], encode: Callable[[_Item], bytes]) -> bytes:
    parts = []
    for item in items:
        try:
            parts.append(_wire.message(number, encode(item)))
        except Exception as error:  # noqa: BLE001 -- one event or link must not cost the span
            _guard.report("encode", error)
    return b"".join(parts)
