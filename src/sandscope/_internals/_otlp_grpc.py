"""The gRPC client of the SDK's OTLP exporters."""

from __future__ import annotations

import logging
from typing import Any, cast

from sandscope._internals._answer import Answer, Export
from sandscope._relay_packets import Signal

_USED = (
    *("_channel", "_channel_options", "_client", "_endpoint", "_exporting", "_headers"),
    *("_initialize_channel_and_stub", "_retryable_error_codes", "_signal", "_stub", "_timeout"),
)
_SIGNALS: dict[str, Signal] = {"traces": "span", "logs": "log", "metrics": "metric"}
_PACKAGE = "opentelemetry.proto.collector"
_METHODS: dict[Signal, str] = {
    "span": f"/{_PACKAGE}.trace.v1.TraceService/Export",
    "log": f"/{_PACKAGE}.logs.v1.LogsService/Export",
    "metric": f"/{_PACKAGE}.metrics.v1.MetricsService/Export",
}
_RECONNECT = ("grpc.max_reconnect_backoff_ms", 2000)
"""By default, gRPC waits up to two minutes before it looks again for an endpoint that has not answered."""
_logger = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")


class GrpcClient:
    """See `OtlpClient`. The exporter's loop of tries stays, and calls this class for each."""

    def __init__(self, exporter: Any) -> None:
        """Change nothing yet.

        Args:
            exporter: one of which `uses_grpc` is true.
        """
        self._exporter = exporter
        self.signal = _SIGNALS[exporter._signal]
        self._method = _METHODS[self.signal]
        self.endpoint = f"grpc://{exporter._endpoint}{self._method}"

    def post(self, request: bytes) -> Answer:
        """See `OtlpClient`."""
        import grpc  # type: ignore[import-untyped]

        exporter = self._exporter
        try:
            if exporter._channel is None:  # in a forked child
                exporter._initialize_channel_and_stub()
            call = exporter._channel.unary_unary(self._method)  # without a serializer, it takes bytes
            call(request, timeout=exporter._timeout, metadata=exporter._headers)
        except grpc.RpcError as error:
            return _answer(error, exporter._retryable_error_codes)
        except Exception as error:  # noqa: BLE001 -- a closed channel, for example
            return Answer(None, str(error), 0.0, is_final=True)
        return Answer(200, "OK", is_final=True)

    def replace_export(self, export: Export) -> None:
        """See `OtlpClient`."""
        exporter = self._exporter
        exporter._stub = lambda _channel: _Stub(export)
        exporter._channel_options = (*exporter._channel_options, _RECONNECT)
        exporter._channel.close()
        exporter._initialize_channel_and_stub()

    def export_as_before(self, request: bytes, answer: Answer) -> tuple[bool, Answer]:
        """See `OtlpClient`. The exporter tries again by itself."""
        return False, answer

    def log_failure(self, answer: Answer, more: str = "") -> None:
        """See `OtlpClient`."""
        exporter = self._exporter
        _logger.error(
            "Failed to export %s to %s: %s%s", exporter._exporting, exporter._endpoint, answer.reason, more
        )


class _Stub:
    """Takes the place of the exporter's stub, whenever it connects again."""

    def __init__(self, export: Export) -> None:
        self._export = export

    def Export(self, request: Any, **_options: Any) -> None:  # noqa: N802 -- the name of the gRPC method
        """Send or keep a request. Raises what the exporter expects if neither is possible."""
        is_success, answer = self._export(request.SerializeToString())
        if not is_success:
            raise answer.error or _not_kept(answer.reason)


def uses_grpc(exporter: Any) -> bool:
    """Return whether an exporter uses gRPC and is of a known version."""
    return all(hasattr(exporter, name) for name in _USED)


def _answer(error: Any, retryable: frozenset[Any]) -> Answer:
    """Return what a failed call means. It may mean "too many now" or "too large", which a hint to retry tells apart."""
    from grpc import StatusCode

    code, wait = error.code(), _retry_after(error)
    is_final = code not in retryable or (code is StatusCode.RESOURCE_EXHAUSTED and wait is None)
    status = (
        400 if is_final else None if code in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED) else 503
    )
    return Answer(status, f"{code.name}, {error.details()}", wait or 0.0, is_final, error)


def _retry_after(error: Any) -> float | None:
    """Return the seconds that the endpoint wants to be left alone; None if it does not say that."""
    from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]

    try:
        encoded = dict(error.trailing_metadata() or ()).get("google.rpc.retryinfo-bin")
        delay = None if encoded is None else RetryInfo.FromString(encoded).retry_delay
    except Exception:  # noqa: BLE001 -- not a hint that anybody could read
        return None
    return None if delay is None else max(0.0, delay.seconds + delay.nanos / 1e9)


def _not_kept(reason: str) -> Exception:
    """Return an error after which the exporter does not try again."""
    from grpc import RpcError, StatusCode

    error: Any = RpcError(reason)
    error.code, error.details = lambda: StatusCode.FAILED_PRECONDITION, lambda: reason
    error.trailing_metadata = tuple
    return cast(Exception, error)
