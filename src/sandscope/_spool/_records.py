"""Which metrics of an encoded request are cumulative."""

from __future__ import annotations

from typing import Any

from sandscope._internals import count_records, message_of

_DELTA = 1


def split_by_temporality(request: bytes) -> tuple[bytes, int, bytes, int]:
    """Return a request for the metrics that the next export does not repeat, and one for the others, with counts.

    The next export repeats cumulative sums and histograms. It has new values of gauges.
    """
    kind = message_of("metric")
    parts = []
    for is_wanted in (_is_delta, lambda metric: not _is_delta(metric)):
        message = kind.FromString(request)
        for group in message.resource_metrics:
            for scope in group.scope_metrics:
                kept = [metric for metric in scope.metrics if is_wanted(metric)]
                del scope.metrics[:]
                scope.metrics.extend(kept)
        parts += [message.SerializeToString(), count_records("metric", message)]
    delta, deltas, others, rest = parts
    return delta, deltas, others, rest


def _is_delta(metric: Any) -> bool:
    data = getattr(metric, metric.WhichOneof("data") or "gauge")
    return getattr(data, "aggregation_temporality", 0) == _DELTA
