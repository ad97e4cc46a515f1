"""Whole OTLP requests for the exporters of the SDK."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_ENCODERS = {"trace_exporter": "encode_spans", "_log_exporter": "encode_logs"}


class Encoded(list[Any]):
    """A batch for an exporter that is a whole OTLP request already.

    It is as long as the records in it, for those who count them, but has no items.
    """

    def __init__(self, request: bytes, count: int) -> None:
        super().__init__()
        self._request = request
        self._count = count

    def __len__(self) -> int:
        return self._count

    def SerializeToString(self) -> bytes:  # noqa: N802 -- a protobuf message's name
        """Return the request."""
        return self._request

    SerializePartialToString = SerializeToString


def accept_encoded(exporter: object) -> bool:
    """Let an OTLP exporter of the SDK's take an `Encoded` batch; what else it is given, it takes as before.

    Its retries, compression and own metrics stay in use: only its call of the encoder is passed by.

    Returns:
        False if it is not such an exporter, or does not look as expected.
    """
    for kind, name in _ENCODERS.items():
        for transport in ("http", "grpc"):
            module = sys.modules.get(f"opentelemetry.exporter.otlp.proto.{transport}.{kind}")
            if module is None or type(exporter).__module__ != module.__name__:
                continue
            encode = getattr(module, name, None)
            if encode is None:
                return False
            if not hasattr(encode, "passes_by"):
                setattr(module, name, _passing_by(encode, _message(name) if transport == "grpc" else None))
            return True
    return False


def _message(name: str) -> Any:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return ExportTraceServiceRequest if name == "encode_spans" else ExportLogsServiceRequest


def _passing_by(encode: Callable[[Any], Any], message: Any) -> Callable[[Any], Any]:
    def encode_unless_encoded(batch: Any) -> Any:
        if not isinstance(batch, Encoded):
            return encode(batch)
        return batch if message is None else message.FromString(batch.SerializeToString())

    encode_unless_encoded.passes_by = True  # type: ignore[attr-defined]
    return encode_unless_encoded
