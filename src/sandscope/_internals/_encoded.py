"""Lets the SDK's OTLP exporters send requests that are already encoded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_ENCODERS = {"trace_exporter": "encode_spans", "_log_exporter": "encode_logs"}


class Encoded(list[Any]):
    """A batch for an exporter that is already an encoded OTLP request.

    Its length is the number of records, which exporters report in their metrics. It has no items.
    """

    def __init__(self, request: bytes, count: int) -> None:
        super().__init__()
        self._request = request
        self._count = count

    def __len__(self) -> int:
        return self._count

    def SerializeToString(self) -> bytes:  # noqa: N802 -- a protobuf message's name
        """Return the encoded request."""
        return self._request

    SerializePartialToString = SerializeToString


def accept_encoded(exporter: object) -> bool:
    """Let an OTLP exporter of the SDK accept `Encoded` batches in addition to other batches.

    Retries, compression and the exporter's own metrics are unchanged; only the encoder is bypassed.

    Returns:
        False if it is not such an exporter, or its version is unknown.
    """
    for kind, name in _ENCODERS.items():
        for transport in ("http", "grpc"):
            module = sys.modules.get(f"opentelemetry.exporter.otlp.proto.{transport}.{kind}")
            if module is None or type(exporter).__module__ != module.__name__:
                continue
            encode = getattr(module, name, None)
            if encode is None:
                return False
            if not hasattr(encode, "accepts_encoded"):
                setattr(
                    module, name, _unless_encoded(encode, _message(name) if transport == "grpc" else None)
                )
            return True
    return False


def _message(name: str) -> Any:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return ExportTraceServiceRequest if name == "encode_spans" else ExportLogsServiceRequest


def _unless_encoded(encode: Callable[[Any], Any], message: Any) -> Callable[[Any], Any]:
    def encode_unless_encoded(batch: Any) -> Any:
        if not isinstance(batch, Encoded):
            return encode(batch)
        return batch if message is None else message.FromString(batch.SerializeToString())

    encode_unless_encoded.accepts_encoded = True  # type: ignore[attr-defined]
    return encode_unless_encoded
