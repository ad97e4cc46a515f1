"""Read telemetry from the stores with their HTTP APIs, for the demo and for the tests of the stores."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

# Ignore proxy settings: a proxy cannot reach this machine's loopback interface.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Sample:
    """The value of one series in Prometheus."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Exemplar:
    """One exemplar in Prometheus: ``labels`` has its trace id, ``series`` the labels of the metric."""

    series: Mapping[str, str]
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Span:
    """One span in Jaeger; ids are lower-case hexadecimal, ``parent_id`` is "" for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    resource: Mapping[str, Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """One log record in Loki; ``labels`` include its attributes, with ``_`` in place of every dot."""

    labels: Mapping[str, str]
    body: str
    time_ns: int


def prometheus_query(url: str, query: str) -> list[Sample]:
    """Evaluate a PromQL expression, which returns a vector, at the current time."""
    answer = _ask(url, "/api/v1/query", query=query)
    return [Sample(entry["metric"], float(entry["value"][1])) for entry in answer["data"]["result"]]


def prometheus_exemplars(url: str, query: str) -> list[Exemplar]:
    """Return the exemplars of the last hour for the series in a PromQL expression."""
    now = time.time()
    answer = _ask(url, "/api/v1/query_exemplars", query=query, start=now - 3600, end=now + 60)
    return [
        Exemplar(entry["seriesLabels"], exemplar["labels"], float(exemplar["value"]))
        for entry in answer["data"]
        for exemplar in entry["exemplars"]
    ]


def jaeger_trace(url: str, trace_id: str) -> list[Span]:
    """Return the spans of a trace; none if Jaeger does not have it."""
    try:
        answer = _ask(url, f"/api/v3/traces/{quote(trace_id, safe='')}")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return []
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


def loki_records(url: str, query: str) -> list[Record]:
    """Return the log records of the last hour that a LogQL query selects, oldest first.

    A query by trace is ``{service_name=~".+"} | trace_id="..."``.
    """
    now = time.time_ns()
    window = {"start": now - 3600 * 10**9, "end": now + 60 * 10**9, "limit": 1000}
    answer = _ask(url, "/loki/api/v1/query_range", query=query, **window)
    records = [
        Record(stream["stream"], body, int(nanoseconds))
        for stream in answer["data"]["result"]
        for nanoseconds, body in stream["values"]
    ]
    return sorted(records, key=lambda record: record.time_ns)


def get(url: str) -> str:
    """Return the text of a page on this machine.

    Raises:
        urllib.error.URLError: if nothing answers; its subclass HTTPError, if the answer is not a success.
    """
    with _opener.open(url, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def _ask(url: str, path: str, **parameters: object) -> Any:
    return json.loads(get(f"{url}{path}?{urlencode(parameters)}"))


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["key"]: _value(entry["value"]) for entry in holder.get("attributes", [])}


def _value(value: Mapping[str, Any]) -> Any:
    """Return a value of OTLP's JSON encoding, in which 64-bit integers are strings."""
    if not value:
        return None
    kind, content = next(iter(value.items()))
    if kind == "intValue":
        return int(content)
    if kind == "arrayValue":
        return [_value(entry) for entry in content.get("values", [])]
    return content
