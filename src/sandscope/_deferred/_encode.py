"""Executions as OTLP requests: by template where one fits, else by the SDK's own encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

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

OnFailure = Callable[[DeferredExecution], object]


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
        self._request: Callable[[bytes], bytes] | None = None
        self._span_templates = _Templates(SpanTemplate, span_limits)
        self._log_templates = _Templates(LogTemplate, log_limits)

    def spans(self, executions: Sequence[DeferredExecution], failed: OnFailure | None = None) -> bytes:
        """Return an ExportTraceServiceRequest.

        Args:
            executions: ended and sampled. One that cannot be encoded is left out, and reported.
            failed: called with each of those.
        """
        return self._encode(encode_spans, executions, self._span_templates, self._sdk_spans, failed)

    def logs(self, executions: Sequence[DeferredExecution], failed: OnFailure | None = None) -> bytes:
        """Return an ExportLogsServiceRequest.

        Args:
            executions: ended. One that cannot be encoded is left out, and reported.
            failed: called with each of those.
        """
        return self._encode(encode_logs, executions, self._log_templates, self._sdk_logs, failed)

    def _encode(
        self,
        encode_all: Callable[..., bytes],
        executions: Sequence[DeferredExecution],
        templates: _Templates[Any, Any],
        by_the_sdk: Callable[[Sequence[DeferredExecution]], bytes],
        failed: OnFailure | None,
    ) -> bytes:
        others: list[DeferredExecution] = []

        def encode_one(execution: DeferredExecution) -> tuple[bytes, ...]:
            try:
                template = templates.find(execution)
                if template is not None:
                    filled: tuple[bytes, ...] = template.fill(execution)
                    return filled
            except Exception:  # noqa: BLE001, S110 -- the SDK's encoder may know better, or says why not
                pass
            others.append(execution)
            return ()

        encoded = encode_all(list(executions), templates.pieces, encode_one)
        if encoded:
            if self._request is None:  # made here, on the drain's thread: it loads protobuf
                self._request = _messages.request(self._resource, self._scope)
            encoded = self._request(encoded)
        return encoded + _all_that_can_be(others, by_the_sdk, failed)

    def _sdk_spans(self, executions: Sequence[DeferredExecution]) -> bytes:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as encode

        limits = self._span_limits
        spans = [readable_span(execution, self._resource, self._scope, limits) for execution in executions]
        request: bytes = encode(spans).SerializeToString()
        return request

    def _sdk_logs(self, executions: Sequence[DeferredExecution]) -> bytes:
        from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as encode

        limits = self._log_limits
        logs = [readable_log(execution, self._resource, self._scope, limits) for execution in executions]
        request: bytes = encode(logs).SerializeToString()
        return request


def _all_that_can_be(
    executions: Sequence[DeferredExecution],
    encode: Callable[[Sequence[DeferredExecution]], bytes],
    failed: OnFailure | None,
) -> bytes:
    """Encode all at once; if that fails, one by one, so that a bad one costs only its own record."""
    if not executions:
        return b""
    try:
        return encode(executions)
    except Exception as error:  # noqa: BLE001 -- one execution must not cost the others
        if len(executions) > 1:
            return b"".join(_all_that_can_be([execution], encode, failed) for execution in executions)
        # The error itself may quote a value, which may be long or secret.
        _guard.report("encode", ValueError(f"{executions[0].site.name!r:.80}: {type(error).__name__}"))
        if failed is not None:
            failed(executions[0])
        return b""


class _Template(Protocol):
    pieces: tuple[bytes, ...]

    def fits(self, details: Details) -> bool:
        """Return whether an execution with these details can be filled in."""

    def fill(self, execution: Any) -> tuple[bytes, ...]:
        """Return the record of an execution."""


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
        """Return what an execution is put together from that ended without an exception, or None."""
        template = self.find(execution)
        failed = execution.details is not None and execution.details.error_type is not None
        return None if template is None or failed else template.pieces

    def _add(self, key: tuple[Site, Verdict | None, str | None]) -> _T | None:
        if len(self._made) >= _MOST_TEMPLATES:
            self._made.clear()
        site, verdict, error_type = key
        try:
            template: _T | None = self._make(site, verdict or MISSING_EVIDENCE, error_type, self._limits)
        except Exception:  # noqa: BLE001 -- the SDK's encoder takes each of its executions
            template = None
        self._made[key] = template
        return template
