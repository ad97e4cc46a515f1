"""Templates: the common part of all records with the same site and verdict, encoded once."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk._logs import LogRecordLimits
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.span import DEFAULT_TRACE_STATE

from sandscope._deferred import _clock, _otlp_parts, _readable, _wire
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._details import Details
from sandscope._execution import Site
from sandscope._recording import _mapping
from sandscope._verdict import Verdict

_PLACEHOLDER = "\0"
"""The key of a placeholder attribute, which marks the position of the execution's own attributes."""
_EXCEPTION_ATTRIBUTES = 3
"""The number of attributes of an ``exception`` event."""
_SCALARS = (str, bool, int, float)

# Tags of fields, followed by the length prefix if the length is fixed.
_TRACE_ID, _SPAN_ID, _PARENT_ID = (
    _wire.tag(1, 2) + b"\x10",
    _wire.tag(2, 2) + b"\x08",
    _wire.tag(4, 2) + b"\x08",
)
_START_TIME, _END_TIME = _wire.tag(7, 1), _wire.tag(8, 1)
_LOG_TIME, _LOG_FLAGS, _OBSERVED_TIME = _wire.tag(1, 1), _wire.tag(8, 5), _wire.tag(11, 1)
_LOG_TRACE_ID, _LOG_SPAN_ID = _wire.tag(9, 2) + b"\x10", _wire.tag(10, 2) + b"\x08"

_EVENT_NAME = _wire.string(12, _mapping.EVENT_NAME)
_double = struct.Struct("<d").pack
_uint32 = struct.Struct("<I").pack
_uint64 = struct.Struct("<Q").pack
_times = struct.Struct("<QcQ").pack
_log_ids = struct.Struct("<2s16s2s8sc").pack


class NoTemplate(Exception):  # noqa: N818 -- not an error: the SDK's encoder is used instead
    """No template is possible: attributes are dropped, cannot be encoded, or have an unexpected order."""


class SpanTemplate:
    """An encoded span without ids, trace state, timestamps and the execution's own attributes."""

    __slots__ = (
        *("_after", "_before", "_child", "_failed", "_flags", "_head", "_own", "_root", "_status"),
        *("_takes_events", "pieces"),
    )

    pieces: tuple[bytes, ...]

    def __init__(self, site: Site, verdict: Verdict, error_type: str | None, limits: SpanLimits) -> None:
        """Encode the common part.

        Raises:
            Exception: if no template is possible.
        """
        example = _example(site, verdict, error_type)
        attributes = example.span_data(limits).fields["attributes"]
        self._own = _OwnAttributes(attributes, limits.max_span_attributes, limits.max_span_attribute_length)
        self._head = _otlp_parts.span_head(example.name, example.kind) + _START_TIME
        self._before, self._after = _cut(_otlp_parts.SPAN_ATTRIBUTES, attributes, (_PLACEHOLDER,))
        self._takes_events = _takes_events(limits)
        self._failed, self._status = verdict.status != "OK", _otlp_parts.status(example.status)
        self._flags = (_otlp_parts.span_flags(False), _otlp_parts.span_flags(True))
        after = self._after + self._status + self._flags[False]
        tail = self._before + after
        length = len(_TRACE_ID + _SPAN_ID + self._head + _END_TIME + tail) + 16 + 8 + 8 + 8
        self._root = (_otlp_parts.record_of(length) + _TRACE_ID, tail)
        self._child = (_otlp_parts.record_of(length + len(_PARENT_ID) + 8) + _TRACE_ID, tail)
        starts = (self._root[0], self._child[0])
        self.pieces = (*starts, _SPAN_ID, _PARENT_ID, self._head, _END_TIME, self._before, after)

    def fits(self, details: Details) -> bool:
        """Return whether the template can encode an execution with these details."""
        if details.stack_trace is not None and not self._takes_events:
            return False
        return details.written is None and not details.events and self._own.fit(details.attributes)

    def fill(self, execution: DeferredExecution) -> tuple[bytes, ...]:
        """Return the encoded span of an execution for which `fits` is true."""
        trace_id, span_id, _, _, state, _ = execution.get_span_context()
        parent = execution.parent if execution.parent_context else None
        trace, span, offset = trace_id.to_bytes(16, "big"), span_id.to_bytes(8, "big"), _clock.offset
        times = _times(execution.started + offset, _END_TIME, execution.ended + offset)
        details = execution.details
        status = self._status
        if self._failed and details is not None and details.explanation is not None:
            status = _otlp_parts.status(Status(StatusCode.ERROR, details.explanation))
        if self._failed and details is not None and details.stack_trace is not None:
            exception = _mapping.exception_attributes(details)
            status = _otlp_parts.event(_mapping.EXCEPTION, execution.end_time, exception) + status
        if state is DEFAULT_TRACE_STATE and status is self._status and not (details and details.attributes):
            if parent is None:
                start, tail = self._root
                return start, trace, _SPAN_ID, span, self._head, times, tail
            if not parent[2]:
                start, tail = self._child
                parent_id = _PARENT_ID + parent[1].to_bytes(8, "big")
                return start, trace, _SPAN_ID, span, parent_id, self._head, times, tail
        fields = (
            _TRACE_ID + trace + _SPAN_ID + span + _otlp_parts.trace_state(state),
            b"" if parent is None else _PARENT_ID + parent[1].to_bytes(8, "big"),
            self._head,
            times,
            self._before,
            b"" if details is None else _wire.attributes(_otlp_parts.SPAN_ATTRIBUTES, details.attributes),
            self._after + status,
            self._flags[parent is not None and parent[2]],
        )
        return _otlp_parts.record_of(sum(map(len, fields))), *fields


class LogTemplate:
    """An encoded log record without timestamps, ids, flags, duration, error message and the execution's attributes."""

    __slots__ = (
        "_after",
        "_before",
        "_has_message",
        "_head",
        "_last",
        "_own",
        "_plain",
        "_seconds",
        "pieces",
    )

    pieces: tuple[bytes, ...]

    def __init__(self, site: Site, verdict: Verdict, error_type: str | None, limits: LogRecordLimits) -> None:
        """Encode the common part.

        Raises:
            Exception: if no template is possible.
        """
        example = _example(site, verdict, error_type)
        attributes = _readable.log_attributes(example, limits)
        self._own = _OwnAttributes(
            attributes, limits.max_log_record_attributes, limits.max_log_record_attribute_length
        )
        self._has_message = _mapping.EXCEPTION_MESSAGE in attributes
        slots = (
            _PLACEHOLDER,
            _mapping.SECONDS,
            *((_mapping.EXCEPTION_MESSAGE,) if self._has_message else ()),
        )
        self._before, between, self._after, *last = _cut(_otlp_parts.LOG_ATTRIBUTES, attributes, slots)
        self._last = b"".join(last)
        duration = _wire.message(_otlp_parts.LOG_ATTRIBUTES, _wire.key_value(_mapping.SECONDS, 0.0))
        self._seconds = between + duration[:-8]
        self._head = _otlp_parts.log_head(_mapping.severity(verdict), _mapping.body(site, verdict))
        before = self._head + self._before
        middle = before + self._seconds
        end = _LOG_FLAGS + _LOG_TRACE_ID + _LOG_SPAN_ID + _OBSERVED_TIME + _EVENT_NAME
        length = len(_LOG_TIME + middle + self._after + end) + 8 + 8 + 4 + 16 + 8 + 8
        self._plain = (_otlp_parts.record_of(length) + _LOG_TIME, middle, self._after + _LOG_FLAGS)
        start, _, after = self._plain
        ids = (_LOG_TRACE_ID, _LOG_SPAN_ID, _OBSERVED_TIME, _EVENT_NAME)
        self.pieces = (start, before, self._seconds, after, *ids)

    def fits(self, details: Details) -> bool:
        """Return whether the template can encode an execution with these details."""
        if not self._has_message:
            return self._own.fit(details.attributes)
        texts = [text for text in (details.error_message, details.stack_trace) if text is not None]
        return self._own.fit(details.attributes, len(texts) - 1) and all(map(self._own.fits, texts))

    def fill(self, execution: DeferredExecution) -> tuple[bytes, ...]:
        """Return the encoded log record of an execution."""
        trace_id, span_id, _, flags, _, _ = execution.get_span_context()
        time = _uint64(execution.ended + _clock.offset)
        duration = _double(execution.duration)
        ids = _log_ids(
            _LOG_TRACE_ID,
            trace_id.to_bytes(16, "big"),
            _LOG_SPAN_ID,
            span_id.to_bytes(8, "big"),
            _OBSERVED_TIME,
        )
        details = execution.details
        if flags and not self._has_message and (details is None or not details.attributes):
            start, middle, after = self._plain
            return start, time, middle, duration, after, _uint32(flags), ids, time, _EVENT_NAME
        attributes: dict[str, Any] = {} if details is None else details.attributes
        message = {}
        if details is not None and self._has_message:
            message = _mapping.exception_attributes(details)
            del message[_mapping.EXCEPTION_TYPE]  # in the template
        fields = (
            _LOG_TIME + time + self._head + self._before,
            _wire.attributes(_otlp_parts.LOG_ATTRIBUTES, attributes),
            self._seconds + duration + self._after,
            _wire.attributes(_otlp_parts.LOG_ATTRIBUTES, message) + self._last,
            _LOG_FLAGS + _uint32(flags) if flags else b"",
            ids + time + _EVENT_NAME,
        )
        return _otlp_parts.record_of(sum(map(len, fields))), *fields


class _OwnAttributes:
    """Decides whether an execution's own attributes can be added to a template unchanged."""

    __slots__ = ("_max_length", "_reserved", "_room")

    def __init__(self, attributes: Mapping[str, Any], count: int | None, max_length: int | None) -> None:
        # `error.type` is included, because the program's value would change the other attributes.
        self._reserved = frozenset(attributes) | {_mapping.ERROR_TYPE, _mapping.EXCEPTION_STACK_TRACE}
        self._room = None if count is None else count + 1 - len(attributes)
        self._max_length = max_length

    def fit(self, attributes: Mapping[str, Any], more: int = 0) -> bool:
        """Return whether the SDK accepts the attributes, and some more, unchanged and the template has none of them."""
        if self._room is not None and len(attributes) + more > self._room:
            return False
        for key, value in attributes.items():
            if type(key) is not str or not key or key in self._reserved or not self.fits(value):
                return False
        return True

    def fits(self, value: Any) -> bool:
        """Return whether the SDK accepts a value unchanged."""
        kind = type(value)
        if kind is str:
            return self._max_length is None or len(value) <= self._max_length
        if kind is tuple:
            kinds = set(map(type, value))
            return len(kinds) == 1 and kinds.issubset(_SCALARS) and all(map(self.fits, value))
        return kind in _SCALARS


def _takes_events(limits: SpanLimits) -> bool:
    """Return whether the SDK accepts an ``exception`` event unchanged."""
    counts = (limits.max_events, limits.max_event_attributes)
    return limits.max_attribute_length is None and all(
        count is None or count >= _EXCEPTION_ATTRIBUTES for count in counts
    )


def _example(site: Site, verdict: Verdict, error_type: str | None) -> DeferredExecution:
    if _PLACEHOLDER in site.attributes or _mapping.EXCEPTION_STACK_TRACE in site.attributes:
        raise NoTemplate
    example = object.__new__(DeferredExecution)
    example.site, example.verdict = site, verdict
    example.started = example.ended = 0
    example.details = details = Details()
    details.error_type = error_type
    details.attributes[_PLACEHOLDER] = ""
    return example


def _cut(number: int, attributes: Any, slots: tuple[str, ...]) -> list[bytes]:
    """Encode the attributes before, between and after the slots. The slots themselves are omitted."""
    if attributes.dropped:
        raise NoTemplate
    parts, found = [b""], []
    for key, value in attributes.items():
        if key in slots:
            found.append(key)
            parts.append(b"")
        else:
            parts[-1] += _wire.message(number, _wire.key_value(key, value))
    if tuple(found) != slots:
        raise NoTemplate
    return parts
