"""Executions as OTLP requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from opentelemetry.sdk._logs import LogRecordLimits
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sandscope import _guard
from sandscope._deferred import _messages
from sandscope._deferred._compiled import encode_logs, encode_spans
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._readable import readable_log, readable_span
from sandscope._deferred._template import LogTemplate, SpanTemplate
from sandscope._execution import Details, Site
from sandscope._verdict import MISSING_EVIDENCE, Verdict

_MOST_TEMPLATES = 1024
"""Kept at a time: a guest may choose names."""

LeftOut = Callable[[DeferredExecution], object]


class Encoder:
    """Encodes the executions of one instrumentation scope and resource, as the SDK's encoder would.

    Requests may be concatenated to one: a request has but one field, which is repeated. Not for several
    threads at once.
    """

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        """Prepare to encode; limits are those of the environment, as the SDK's own.

        Args:
            resource: whose telemetry it is.
            scope: the instrumentation's.
        """
        span_limits, log_limits = SpanLimits(), LogRecordLimits()
        self._resource, self._scope = resource, scope
        self._span_limits, self._log_limits = span_limits, log_limits
        self._request = _messages.request(resource, scope)
        self._span_templates = _Templates(SpanTemplate, span_limits)
        self._log_templates = _Templates(LogTemplate, log_limits)

    def spans(self, executions: Sequence[DeferredExecution], left_out: LeftOut | None = None) -> bytes:
        """Return an ExportTraceServiceRequest.

        Args:
            executions: ended and sampled. One that cannot be encoded is left out, and reported.
            left_out: called with each of those.
        """
        return self._encode(encode_spans, executions, self._span_templates.pieces, self._span, left_out)

    def logs(self, executions: Sequence[DeferredExecution], left_out: LeftOut | None = None) -> bytes:
        """Return an ExportLogsServiceRequest.

        Args:
            executions: ended. One that cannot be encoded is left out, and reported.
            left_out: called with each of those.
        """
        return self._encode(encode_logs, executions, self._log_templates.pieces, self._log, left_out)

    def _encode(
        self,
        encode_all: Callable[..., bytes],
        executions: Sequence[DeferredExecution],
        find: Callable[[DeferredExecution], tuple[bytes, ...] | None],
        encode: Callable[[DeferredExecution], tuple[bytes, ...]],
        left_out: LeftOut | None,
    ) -> bytes:
        def encode_one(execution: DeferredExecution) -> tuple[bytes, ...]:
            try:
                return encode(execution)
            except Exception as error:  # noqa: BLE001 -- one execution must not cost the others
                _guard.report("encode", error)
                if left_out is not None:
                    left_out(execution)
                return ()

        encoded = encode_all(list(executions), find, encode_one)
        return self._request(encoded) if encoded else b""

    def _span(self, execution: DeferredExecution) -> tuple[bytes, ...]:
        if execution.details is None or execution.details.written is None:
            template = self._span_templates.find(execution)
            if template is not None:
                return template.fill(execution)
        span = _messages.span(readable_span(execution, self._resource, self._scope, self._span_limits))
        return _messages.record_of(len(span)), span

    def _log(self, execution: DeferredExecution) -> tuple[bytes, ...]:
        template = self._log_templates.find(execution)
        if template is not None:
            return template.fill(execution)
        log = _messages.log(readable_log(execution, self._resource, self._scope, self._log_limits))
        return _messages.record_of(len(log)), log


class _Template(Protocol):
    pieces: tuple[bytes, ...]

    def fits(self, details: Details) -> bool:
        """Return whether an execution with these details can be filled in."""


_T = TypeVar("_T", bound=_Template)
_Limits = TypeVar("_Limits")


class _Templates(Generic[_T, _Limits]):
    """Those in use; they hold sites, but no executions."""

    def __init__(self, make: Callable[[Site, Verdict, str | None, _Limits], _T], limits: _Limits) -> None:
        self._make, self._limits = make, limits
        self._made: dict[tuple[Site, Verdict | None, str | None], _T | None] = {}

    def find(self, execution: DeferredExecution) -> _T | None:
        """Return the template that an execution can be filled in, or None."""
        details = execution.details
        key = (execution.site, execution.verdict, None if details is None else details.error_type)
        try:
            template = self._made[key]
        except KeyError:
            template = self._add(key)
        return template if template is None or details is None or template.fits(details) else None

    def pieces(self, execution: DeferredExecution) -> tuple[bytes, ...] | None:
        """Return what an execution without details is put together from, or None."""
        template = self.find(execution)
        return None if template is None else template.pieces

    def _add(self, key: tuple[Site, Verdict | None, str | None]) -> _T | None:
        if len(self._made) >= _MOST_TEMPLATES:
            self._made.clear()
        site, verdict, error_type = key
        try:
            template: _T | None = self._make(site, verdict or MISSING_EVIDENCE, error_type, self._limits)
        except Exception:  # noqa: BLE001 -- then each execution goes, and is reported, on its own
            template = None
        self._made[key] = template
        return template
