"""Encodes executions as OTLP requests: with a template if possible, otherwise with the SDK's encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from opentelemetry.sdk._logs import LogRecordLimits
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sandscope import _guard
from sandscope._deferred import _otlp_parts
from sandscope._deferred._compiled import encode_logs, encode_spans
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._readable import readable_log, readable_span
from sandscope._deferred._template import LogTemplate, SpanTemplate
from sandscope._details import Details
from sandscope._execution import Site
from sandscope._verdict import MISSING_EVIDENCE, Verdict

_MAX_TEMPLATES = 1024
"""The maximum number of cached templates, because guests can choose names."""

OnFailure = Callable[[DeferredExecution], object]


class Encoder:
    """Encodes the executions of one instrumentation scope and resource, with the same result as the SDK's encoder.

    Requests can be concatenated, because a request consists of one repeated field. One thread may encode spans and
    another log records; they share only what either may create.
    """

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        """Create the encoder. The limits come from the environment, as in the SDK.

        Args:
            resource: the resource of the telemetry.
            scope: the instrumentation scope.
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
            executions: ended, sampled executions. An execution that cannot be encoded is omitted and reported.
            failed: called with each omitted execution.
        """
        return self._encode(encode_spans, executions, self._span_templates, self._sdk_spans, failed)

    def logs(self, executions: Sequence[DeferredExecution], failed: OnFailure | None = None) -> bytes:
        """Return an ExportLogsServiceRequest.

        Args:
            executions: ended executions. An execution that cannot be encoded is omitted and reported.
            failed: called with each omitted execution.
        """
        return self._encode(encode_logs, executions, self._log_templates, self._sdk_logs, failed)

    def _encode(
        self,
        encode_all: Callable[..., bytes],
        executions: Sequence[DeferredExecution],
        templates: _Templates[Any, Any],
        encode_with_sdk: Callable[[Sequence[DeferredExecution]], bytes],
        failed: OnFailure | None,
    ) -> bytes:
        without_template: list[DeferredExecution] = []

        def encode_one(execution: DeferredExecution) -> tuple[bytes, ...]:
            try:
                template = templates.find(execution)
                if template is not None:
                    filled: tuple[bytes, ...] = template.fill(execution)
                    return filled
            except Exception:  # noqa: BLE001, S110 -- the SDK's encoder encodes it or reports the error
                pass
            without_template.append(execution)
            return ()

        encoded = encode_all(list(executions), templates.pieces, encode_one)
        if encoded:
            if self._request is None:  # not created earlier: it imports protobuf, on the pipeline's thread
                self._request = _otlp_parts.request(self._resource, self._scope)
            encoded = self._request(encoded)
        return encoded + _encode_or_omit(without_template, encode_with_sdk, failed)

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


def _encode_or_omit(
    executions: Sequence[DeferredExecution],
    encode: Callable[[Sequence[DeferredExecution]], bytes],
    failed: OnFailure | None,
) -> bytes:
    """Encode all executions at once. If this fails, encode them one by one and omit only those that fail."""
    if not executions:
        return b""
    try:
        return encode(executions)
    except Exception as error:  # noqa: BLE001 -- the other executions are still encoded
        if len(executions) > 1:
            return b"".join(_encode_or_omit([execution], encode, failed) for execution in executions)
        # Only the type of the error is reported: its message may contain a long or sensitive value.
        _guard.report("encode", ValueError(f"{executions[0].site.name!r:.80}: {type(error).__name__}"))
        if failed is not None:
            failed(executions[0])
        return b""


class _Template(Protocol):
    pieces: tuple[bytes, ...]

    def fits(self, details: Details) -> bool:
        """Return whether the template can encode an execution with these details."""

    def fill(self, execution: Any) -> tuple[bytes, ...]:
        """Return the encoded record of an execution."""


_T = TypeVar("_T", bound=_Template)
_Limits = TypeVar("_Limits")


class _Templates(Generic[_T, _Limits]):
    """A cache of templates. It references sites, but no executions."""

    def __init__(self, make: Callable[[Site, Verdict, str | None, _Limits], _T], limits: _Limits) -> None:
        self._make, self._limits = make, limits
        self._templates: dict[tuple[Site, Verdict | None, str | None], _T | None] = {}

    def find(self, execution: DeferredExecution) -> _T | None:
        """Return the template that can encode an execution, or None."""
        details = execution.details
        key = (execution.site, execution.verdict, None if details is None else details.error_type)
        try:
            template = self._templates[key]
        except KeyError:
            template = self._add(key)
        return template if template is None or details is None or template.fits(details) else None

    def pieces(self, execution: DeferredExecution) -> tuple[bytes, ...] | None:
        """Return the template's pieces for an execution that ended without an exception, or None."""
        template = self.find(execution)
        failed = execution.details is not None and execution.details.error_type is not None
        return None if template is None or failed else template.pieces

    def _add(self, key: tuple[Site, Verdict | None, str | None]) -> _T | None:
        if len(self._templates) >= _MAX_TEMPLATES:
            self._templates.clear()
        site, verdict, error_type = key
        try:
            template: _T | None = self._make(site, verdict or MISSING_EVIDENCE, error_type, self._limits)
        except Exception:  # noqa: BLE001 -- the SDK's encoder encodes these executions
            template = None
        self._templates[key] = template
        return template
