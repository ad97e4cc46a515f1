"""Ask the stores what arrived, by their own APIs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from sandscope._errors import SandscopeError
from sandscope._stores import _http


@dataclass(frozen=True)
class Sample:
    """The value of one series in Prometheus."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Exemplar:
    """One measurement in Prometheus that names its trace: ``labels`` are its own, ``series`` the metric's."""

    series: Mapping[str, str]
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Span:
    """One span in Jaeger; ids are lower-case hex, ``parent_id`` is "" for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    resource: Mapping[str, Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """One log record in Loki: ``labels`` holds its attributes too, with ``_`` for every dot."""

    labels: Mapping[str, str]
    body: str
    time_ns: int


def prometheus_query(url: str, query: str) -> list[Sample]:
    """Evaluate a PromQL expression now.

    Args:
        url: the address of Prometheus.
        query: an expression that gives a vector.

    Raises:
        SandscopeError: when Prometheus does not answer, or refuses the query.
    """
    answer = _ask("Prometheus", url, "/api/v1/query", query=query)
    return [Sample(entry["metric"], float(entry["value"][1])) for entry in answer["data"]["result"]]


def prometheus_exemplars(url: str, query: str, *, since: float = 3600.0) -> list[Exemplar]:
    """Return the exemplars of the series that a PromQL expression names.

    Args:
        url: the address of Prometheus.
        query: an expression, for a histogram usually its ``_bucket`` series.
        since: how far to look back, in seconds.

    Raises:
        SandscopeError: as `prometheus_query`.
    """
    now = time.time()
    answer = _ask("Prometheus", url, "/api/v1/query_exemplars", query=query, start=now - since, end=now + 60)
    return [
        Exemplar(entry["seriesLabels"], exemplar["labels"], float(exemplar["value"]))
        for entry in answer["data"]
        for exemplar in entry["exemplars"]
    ]


def jaeger_trace(url: str, trace_id: str) -> list[Span]:
    """Return the spans of a trace; none when Jaeger does not have it.

    Args:
        url: the address of Jaeger's HTTP interface.
        trace_id: 32 hex digits.

    Raises:
        SandscopeError: when Jaeger does not answer, or refuses the id.
    """
    path = f"/api/v3/traces/{quote(trace_id, safe='')}"
    answer = _ask("Jaeger", url, path, absent={"result": {"resourceSpans": []}})
    return [
        Span(
            span["traceId"],
            span["spanId"],
            span.get("parentSpanId", ""),
            span["name"],
            _attributes(group["resource"]),
            _attributes(span),
        )
        for group in answer["result"]["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]


def loki_records(url: str, query: str, *, since: float = 3600.0, limit: int = 1000) -> list[Record]:
    """Return the log records that a LogQL query selects, oldest first.

    A query by trace is ``{service_name=~".+"} | trace_id="..."``.

    Args:
        url: the address of Loki.
        query: a log query.
        since: how far to look back, in seconds.
        limit: the most records to return.

    Raises:
        SandscopeError: when Loki does not answer, or refuses the query.
    """
    now = time.time_ns()
    answer = _ask(
        "Loki",
        url,
        "/loki/api/v1/query_range",
        query=query,
        start=now - int(since * 1e9),
        end=now + 60_000_000_000,
        limit=limit,
    )
    records = [
        Record(stream["stream"], body, int(nanoseconds))
        for stream in answer["data"]["result"]
        for nanoseconds, body in stream["values"]
    ]
    return sorted(records, key=lambda record: record.time_ns)


def _ask(store: str, url: str, path: str, *, absent: Any = None, **parameters: object) -> Any:
    address = f"{url.rstrip('/')}{path}"
    try:
        return json.loads(_http.get(f"{address}?{urlencode(parameters)}" if parameters else address))
    except _http.NoAnswerError as error:
        if error.status == 404 and absent is not None:
            return absent
        raise SandscopeError(f"Cannot ask {store} at {address!r}: {error}. {_advice(error)}") from error
    except ValueError as error:
        raise SandscopeError(
            f"Cannot ask {store} at {address!r}: the answer is no JSON. Mend the address."
        ) from error


def _advice(error: _http.NoAnswerError) -> str:
    return "Run `sandscope stores status`." if error.status is None else "Mend the query."


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["key"]: _value(entry["value"]) for entry in holder.get("attributes", [])}


def _value(value: Mapping[str, Any]) -> Any:
    """Return what OTLP's JSON form wraps; 64-bit integers come as strings."""
    if not value:
        return None
    kind, content = next(iter(value.items()))
    if kind == "intValue":
        return int(content)
    if kind == "arrayValue":
        return [_value(entry) for entry in content.get("values", [])]
    return content
