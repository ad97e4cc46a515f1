"""What is in an encoded request: how many records, and which metrics are cumulative."""

from __future__ import annotations

from typing import Any

from sandscope._spool._counts import Signal

_DELTA = 1
_GROUPS = {
    "span": ("resource_spans", "scope_spans", "spans"),
    "log": ("resource_logs", "scope_logs", "log_records"),
    "metric": ("resource_metrics", "scope_metrics", "metrics"),
}


def count(signal: Signal, request: bytes) -> int:
    """Return the number of spans, log records or metrics in a request."""
    return _count(signal, _message(signal).FromString(request))


def split_by_temporality(request: bytes) -> tuple[bytes, int, bytes, int]:
    """Return a request for the metrics that the next export does not repeat, and one for the others, with counts.

    The next export repeats cumulative sums and histograms. It has new values of gauges.
    """
    kind = _message("metric")
    parts = []
    for is_wanted in (_is_delta, lambda metric: not _is_delta(metric)):
        message = kind.FromString(request)
        for group in message.resource_metrics:
            for scope in group.scope_metrics:
                kept = [metric for metric in scope.metrics if is_wanted(metric)]
                del scope.metrics[:]
                scope.metrics.extend(kept)
        parts += [message.SerializeToString(), _count("metric", message)]
    delta, deltas, others, rest = parts
    return delta, deltas, others, rest


def _is_delta(metric: Any) -> bool:
    data = getattr(metric, metric.WhichOneof("data") or "gauge")
    return getattr(data, "aggregation_temporality", 0) == _DELTA


def _count(signal: Signal, message: Any) -> int:
    groups, scopes, records = _GROUPS[signal]
    return sum(
        len(getattr(scope, records)) for group in getattr(message, groups) for scope in getattr(group, scopes)
    )


def _message(signal: Signal) -> Any:
    if signal == "span":
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return ExportTraceServiceRequest
    if signal == "log":
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        return ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    return ExportMetricsServiceRequest
