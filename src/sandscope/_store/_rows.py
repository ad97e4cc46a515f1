"""Log records and points of metrics of OTLP/JSON as rows: one dictionary for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from sandscope._store._values import (
    Item,
    attributes,
    integer,
    items,
    json_list,
    named,
    real,
    text,
    time,
)

Row: TypeAlias = "dict[str, Any]"

_TEMPORALITIES = ("unspecified", "delta", "cumulative")


def log_row(record: Item) -> Row:
    """Return the row of a log record."""
    return {
        "time_ns": time(record.get("timeUnixNano") or record.get("observedTimeUnixNano")),
        "severity": record.get("severityText"),
        "severity_number": integer(record.get("severityNumber")),
        "event": record.get("eventName"),
        "body": text(record.get("body")),
        "trace_id": record.get("traceId") or None,
        "span_id": record.get("spanId") or None,
        "attributes": attributes(record),
    }


def point_rows(metric: Item) -> Iterator[Row]:
    """Return one row a point of a metric."""
    for kind in ("sum", "gauge", "histogram", "exponentialHistogram", "summary"):
        for point in items(metric.get(kind) or {}, "dataPoints"):
            yield _point(metric, kind, point)


def _point(metric: Item, kind: str, point: Item) -> Row:
    return {
        "name": metric.get("name"),
        "unit": metric.get("unit"),
        "type": "exponential_histogram" if kind == "exponentialHistogram" else kind,
        "temporality": named(_TEMPORALITIES, metric[kind].get("aggregationTemporality", 0)),
        "monotonic": bool(metric[kind].get("isMonotonic")),
        "time_ns": time(point.get("timeUnixNano")),
        "start_ns": time(point.get("startTimeUnixNano")),
        "value": real(point.get("asDouble", point.get("asInt"))),
        "count": integer(point.get("count")),
        "sum": real(point.get("sum")),
        "min": real(point.get("min")),
        "max": real(point.get("max")),
        "bounds": [real(each) for each in items(point, "explicitBounds")],
        "buckets": [integer(each) for each in items(point, "bucketCounts")],
        "exemplars": json_list(
            {
                "time_ns": time(exemplar.get("timeUnixNano")),
                "value": real(exemplar.get("asDouble", exemplar.get("asInt"))),
                "trace_id": exemplar.get("traceId"),
                "span_id": exemplar.get("spanId"),
            }
            for exemplar in items(point, "exemplars")
        ),
        "attributes": attributes(point),
    }
