"""OTLP/JSON requests as rows of tables: one dictionary a span, log record or point of a metric."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

Row: TypeAlias = "dict[str, Any]"

_MIN_TIME, _MAX_TIME = 0, (1 << 63) - 1
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_CODES = ("unset", "ok", "error")
_TEMPORALITIES = ("unspecified", "delta", "cumulative")
_OF_AN_EXECUTION = {
    "runtime": "sandbox.runtime",
    "operation": "sandbox.operation",
    "status": "sandbox.verdict.status",
    "actor": "sandbox.verdict.actor",
    "cause": "sandbox.verdict.cause",
    "limit": "sandbox.limit",
}


def span_rows(request: Row) -> Iterator[Row]:
    """Return one row a span."""
    for resource in _list(request, "resourceSpans"):
        for scope in _list(resource, "scopeSpans"):
            origin = _origin(resource, scope)
            for span in _list(scope, "spans"):
                yield _span(origin, span)


def log_rows(request: Row) -> Iterator[Row]:
    """Return one row a log record."""
    for resource in _list(request, "resourceLogs"):
        for scope in _list(resource, "scopeLogs"):
            origin = _origin(resource, scope)
            for record in _list(scope, "logRecords"):
                yield {
                    **origin,
                    "time_ns": _time(record.get("timeUnixNano") or record.get("observedTimeUnixNano")),
                    "severity": record.get("severityText"),
                    "severity_number": _int(record.get("severityNumber")),
                    "event": record.get("eventName"),
                    "body": _text(_value(record.get("body"))),
                    "trace_id": record.get("traceId") or None,
                    "span_id": record.get("spanId") or None,
                    "attributes": _attributes(record),
                }


def point_rows(request: Row) -> Iterator[Row]:
    """Return one row a point of a metric."""
    for resource in _list(request, "resourceMetrics"):
        for scope in _list(resource, "scopeMetrics"):
            origin = _origin(resource, scope)
            for metric in _list(scope, "metrics"):
                for kind in ("sum", "gauge", "histogram", "exponentialHistogram", "summary"):
                    for point in _list(metric.get(kind) or {}, "dataPoints"):
                        yield {**origin, **_point(metric, kind, point)}


ROWS: dict[str, Callable[[Row], Iterator[Row]]] = {
    "traces": span_rows,
    "logs": log_rows,
    "metrics": point_rows,
}


def _span(origin: Row, span: Row) -> Row:
    attributes = _attributes(span)
    start, end = _time(span.get("startTimeUnixNano")), _time(span.get("endTimeUnixNano"))
    status = span.get("status") or {}
    row: Row = {
        **origin,
        "trace_id": span.get("traceId"),
        "span_id": span.get("spanId"),
        "parent_span_id": span.get("parentSpanId") or None,
        "name": span.get("name"),
        "kind": _named(_KINDS, span.get("kind")),
        "start_ns": start,
        "duration_ns": None if start is None or end is None else end - start,
        "status_code": _named(_CODES, status.get("code")),
        "status_message": status.get("message"),
        "attributes": attributes,
        "events": _json(
            {
                "time_ns": _time(event.get("timeUnixNano")),
                "name": event.get("name"),
                "attributes": _attributes(event),
            }
            for event in _list(span, "events")
        ),
        "links": _json(
            {
                "trace_id": link.get("traceId"),
                "span_id": link.get("spanId"),
                "attributes": _attributes(link),
            }
            for link in _list(span, "links")
        ),
    }
    for column, name in _OF_AN_EXECUTION.items():
        row[column] = attributes.get(name)
    return row | _used(attributes)


def _used(attributes: Row) -> Row:
    """Return what an execution used, by column: memory in bytes, CPU time in seconds."""
    user, system = (_float(attributes.get(f"sandbox.process.cpu.{mode}")) for mode in ("user", "system"))
    memory = attributes.get("sandbox.process.memory.peak", attributes.get("wasm.memory.peak"))
    return {
        "exit_code": _int(attributes.get("process.exit.code")),
        "memory_peak": _float(memory),
        "cpu_time": _float(attributes.get("wasm.cpu.time"))
        if user is None or system is None
        else user + system,
    }


def _point(metric: Row, kind: str, point: Row) -> Row:
    value = point.get("asDouble", point.get("asInt"))
    return {
        "name": metric.get("name"),
        "unit": metric.get("unit"),
        "type": "exponential_histogram" if kind == "exponentialHistogram" else kind,
        "temporality": _named(_TEMPORALITIES, metric[kind].get("aggregationTemporality", 0)),
        "monotonic": bool(metric[kind].get("isMonotonic")),
        "time_ns": _time(point.get("timeUnixNano")),
        "start_ns": _time(point.get("startTimeUnixNano")),
        "value": _float(value),
        "count": _int(point.get("count")),
        "sum": _float(point.get("sum")),
        "min": _float(point.get("min")),
        "max": _float(point.get("max")),
        "bounds": [_float(each) for each in _list(point, "explicitBounds")],
        "buckets": [_int(each) for each in _list(point, "bucketCounts")],
        "exemplars": _json(
            {
                "time_ns": _time(exemplar.get("timeUnixNano")),
                "value": _float(exemplar.get("asDouble", exemplar.get("asInt"))),
                "trace_id": exemplar.get("traceId"),
                "span_id": exemplar.get("spanId"),
            }
            for exemplar in _list(point, "exemplars")
        ),
        "attributes": _attributes(point),
    }


def _origin(resource: Row, scope: Row) -> Row:
    attributes = _attributes(resource.get("resource") or {})
    return {
        "service": attributes.get("service.name"),
        "scope": (scope.get("scope") or {}).get("name"),
        "resource": attributes,
    }


def _list(item: Row, name: str) -> list[Any]:
    return item.get(name) or []


def _attributes(item: Row) -> Row:
    attributes: Row = {}
    for pair in item.get("attributes") or ():
        for kind, value in pair["value"].items():
            attributes[pair["key"]] = value if kind in _SCALARS else _text(_value(pair["value"]))
    return attributes


_SCALARS = frozenset(("stringValue", "intValue", "boolValue", "doubleValue"))


def _value(value: Any) -> Any:
    """Return what an ``AnyValue`` stands for; integers stay text, as they are in JSON."""
    for kind, content in (value or {}).items():
        if kind == "arrayValue":
            return [_value(each) for each in _list(content, "values")]
        if kind == "kvlistValue":
            return {each["key"]: _value(each.get("value")) for each in _list(content, "values")}
        return content
    return None


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _json(items: Iterator[Row]) -> list[Row] | None:
    return list(items) or None


def _named(names: tuple[str, ...], number: Any) -> str:
    return names[number] if isinstance(number, int) and 0 <= number < len(names) else names[0]


def _time(value: Any) -> int | None:
    number = _int(value)
    return number if number is not None and _MIN_TIME < number <= _MAX_TIME else None


def _int(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= _MAX_TIME else None


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
