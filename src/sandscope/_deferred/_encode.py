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
from sandscope._deferred._execution import DeferredExecution
from sandscope._deferred._readable import readable_log, readable_span
from sandscope._deferred._template import LogTemplate, SpanTemplate
from sandscope._execution import Details
from sandscope._site import Site
from sandscope._verdict import MISSING_EVIDENCE, Verdict

_MOST_TEMPLATES = 1024
"""Kept at a time: a guest may choose names."""


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

    def spans(self, executions: Sequence[DeferredExecution]) -> bytes:
        """Return an ExportTraceServiceRequest.

        Args:
            executions: ended and sampled. One that cannot be encoded is left out and counted.
        """
        return self._encode(executions, self._span)

    def logs(self, executions: Sequence[DeferredExecution]) -> bytes:
        """Return an ExportLogsServiceRequest.

        Args:
            executions: ended. One that cannot be encoded is left out and counted.
        """
        return self._encode(executions, self._log)

    def _encode(
        self,
        executions: Sequence[DeferredExecution],
        encode: Callable[[DeferredExecution], tuple[bytes, ...]],
    ) -> bytes:
        parts: list[bytes] = []
        for execution in executions:
            try:
                parts += encode(execution)
            except Exception as error:  # noqa: BLE001 -- one execution must not cost the others
                _guard.report("encode", error)
        return self._request(b"".join(parts)) if parts else b""

    def _span(self, execution: DeferredExecution) -> tuple[bytes, ...]:
        if execution.written is None:
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
