"""Encoded OTLP requests: how many records are in one, and parts of it that are small enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandscope._relay_packets import Signal

_GROUPS: dict[Signal, tuple[str, str, str]] = {
    "span": ("resource_spans", "scope_spans", "spans"),
    "log": ("resource_logs", "scope_logs", "log_records"),
    "metric": ("resource_metrics", "scope_metrics", "metrics"),
}


def message_of(signal: Signal) -> Any:
    """Return the class of a signal's requests."""
    if signal == "span":
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return ExportTraceServiceRequest
    if signal == "log":
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        return ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    return ExportMetricsServiceRequest


def count_records(signal: Signal, message: Any) -> int:
    """Return the number of records in a request that is decoded."""
    return sum(len(records) for records in _lists(signal, message))


def records_in(signal: Signal, request: bytes) -> int:
    """Return the number of spans, log records or metrics in a request."""
    return count_records(signal, message_of(signal).FromString(request))


def split(signal: Signal, request: bytes, most: int) -> Iterator[bytes]:
    """Yield requests that have the records of one. Each is small enough, or has one record.

    Args:
        signal: of the request.
        request: encoded.
        most: bytes of a request.
    """
    if len(request) <= most:
        yield request
        return
    message = message_of(signal).FromString(request)
    records = count_records(signal, message)
    if records < 2:
        yield request
        return
    for first, last in ((0, records // 2), (records // 2, records)):
        half = message_of(signal)()
        half.CopyFrom(message)
        position = 0
        for each in _lists(signal, half):
            start = position
            position += len(each)
            del each[max(0, min(len(each), last - start)) :]
            del each[: max(0, first - start)]
        yield from split(signal, half.SerializeToString(), most)


def _lists(signal: Signal, message: Any) -> Iterator[Any]:
    groups, scopes, records = _GROUPS[signal]
    for group in getattr(message, groups):
        for scope in getattr(group, scopes):
            yield getattr(scope, records)
