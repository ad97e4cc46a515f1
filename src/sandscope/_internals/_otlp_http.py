"""The HTTP client of the SDK's OTLP exporters."""

from __future__ import annotations

from typing import Any

from sandscope._internals._answer import Answer, Export
from sandscope._internals._rejections import is_rejection
from sandscope._relay_packets import Signal

_USED = ("export", "_submit", "_compress", "_endpoint", "_kind", "_timeout", "_logger", "_transport")
_SIGNALS: dict[str, Signal] = {"spans": "span", "logs": "log", "metrics": "metric"}


class HttpClient:
    """See `OtlpClient`."""

    def __init__(self, exporter: Any) -> None:
        """Change nothing yet.

        Args:
            exporter: one of which `uses_http` is true.
        """
        self._client = exporter._client
        self._original = self._client.export
        self.endpoint: str = self._client._endpoint
        self.signal = _SIGNALS[self._client._kind]

    def post(self, request: bytes) -> Answer:
        """See `OtlpClient`."""
        client = self._client
        try:
            result = client._submit(client._compress(request), client._timeout)
            status = result.status_code
            if status is None:
                is_final = not client._transport.is_connection_error(result.error)
                return Answer(None, str(result.error), 0.0, is_final, result.error)
            is_final = 200 <= status < 300 or is_rejection(status)
            return Answer(status, str(result.reason), _retry_after(result), is_final)
        except Exception as error:  # noqa: BLE001 -- as the client does
            return Answer(None, str(error), 0.0, is_final=True, error=error)

    def replace_export(self, export: Export) -> None:
        """See `OtlpClient`."""
        from opentelemetry.exporter.otlp.common.http import _ExportResult

        def export_result(request: bytes) -> Any:
            is_success, answer = export(request)
            return _ExportResult(is_success, answer.status, answer.reason, answer.error)

        self._client.export = export_result

    def export_as_before(self, request: bytes, answer: Answer) -> tuple[bool, Answer]:
        """See `OtlpClient`."""
        result = self._original(request)
        return result.success, Answer(result.status_code, str(result.reason), error=result.error)

    def log_failure(self, answer: Answer, more: str = "") -> None:
        """See `OtlpClient`."""
        self._client._logger.error(
            "Failed to export %s batch code: %s, reason: %s%s",
            self._client._kind,
            answer.status,
            answer.reason,
            more,
        )


def uses_http(exporter: Any) -> bool:
    """Return whether an exporter has a client that is known."""
    client = getattr(exporter, "_client", None)
    return all(hasattr(client, name) for name in _USED)


def _retry_after(result: Any) -> float:
    try:
        return max(0.0, float(result.headers().get("retry-after") or 0))
    except Exception:  # noqa: BLE001 -- a date, or nothing
        return 0.0
