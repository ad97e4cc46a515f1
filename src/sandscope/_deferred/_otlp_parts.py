"""Encodes the parts of OTLP messages for templates, byte for byte as the SDK's encoder does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, TraceState

from sandscope._deferred import _wire

SPAN_ATTRIBUTES = 9
LOG_ATTRIBUTES = 6
_RECORDS = _wire.tag(2, 2)
"""The tag of a scope's spans, and of its log records."""

_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200


def request(resource: Resource, scope: InstrumentationScope) -> Callable[[bytes], bytes]:
    """Return a function that creates a request, for spans or log records, from a scope's encoded records.

    Raises:
        Exception: if the SDK's encoder cannot encode the resource or the scope.
    """
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    example = ReadableSpan(
        "", SpanContext(1, 1, False), resource=resource, instrumentation_scope=scope, start_time=0, end_time=0
    )
    (of_resource,) = encode_spans([example]).resource_spans
    (of_scope,) = of_resource.scope_spans
    before_records = _wire.message(1, of_scope.scope.SerializeToString())
    after_records = _wire.string(3, of_scope.schema_url)
    before_scope = _wire.message(1, of_resource.resource.SerializeToString())
    after_scope = _wire.string(3, of_resource.schema_url)

    def make(records: bytes) -> bytes:
        in_scope = _wire.message(2, before_records + records + after_records)
        return _wire.message(1, before_scope + in_scope + after_scope)

    return make


def record_of(length: int) -> bytes:
    """Return the tag and the length prefix of a record, for its length in bytes."""
    return _RECORDS + _wire.varint(length)


def trace_state(state: TraceState) -> bytes:
    """Return the ``trace_state`` field of a Span."""
    return _wire.string(3, ",".join(f"{key}={value}" for key, value in state.items()))


def span_head(name: str, kind: SpanKind) -> bytes:
    """Return the ``name`` and ``kind`` fields of a Span."""
    return _wire.string(5, name) + _wire.integer(6, kind.value + 1)


def event(name: str, time: int, attributes: Mapping[str, Any]) -> bytes:
    """Return one of the ``events`` fields of a Span; ``time`` is in nanoseconds since the epoch."""
    fields = _wire.fixed64(1, time) + _wire.string(2, name) + _wire.attributes(3, attributes)
    return _wire.message(11, fields)


def span_flags(remote: bool) -> bytes:
    """Return the ``flags`` field of a Span, which says whether the parent is remote."""
    return _wire.fixed32(16, _HAS_IS_REMOTE | (_IS_REMOTE if remote else 0))


def status(value: Status) -> bytes:
    """Return the ``status`` field of a Span."""
    fields = _wire.string(2, value.description or "") + _wire.integer(3, value.status_code.value)
    return _wire.message(15, fields)


def log_head(severity: tuple[SeverityNumber, str], body: str) -> bytes:
    """Return the severity and ``body`` fields of a LogRecord."""
    number, text = severity
    return (
        _wire.integer(2, number.value)
        + _wire.string(3, text)
        + _wire.message(5, _wire.message(1, body.encode()))
    )
