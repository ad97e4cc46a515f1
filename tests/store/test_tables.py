"""What the tables contain of spans, log records and metrics, hostile ones included."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness._local_store import START, Store, attributes, request, span
from sandscope._errors import SandscopeError

SCOPE = {"scope": {"name": "scope"}}
RESOURCE = {"resource": {"attributes": attributes(service__name="app")}}


def _logs(*records: dict[str, Any]) -> str:
    return (
        json.dumps({"resourceLogs": [{**RESOURCE, "scopeLogs": [{**SCOPE, "logRecords": list(records)}]}]})
        + "\n"
    )


def _metrics(*metrics: dict[str, Any]) -> str:
    scopes = [{**SCOPE, "metrics": list(metrics)}]
    return json.dumps({"resourceMetrics": [{**RESOURCE, "scopeMetrics": scopes}]}) + "\n"


def test_a_span(store: Store) -> None:
    event = {
        "timeUnixNano": str(START),
        "name": "exception",
        "attributes": attributes(exception__type="Trap"),
    }
    values = [
        {"key": "whole", "value": {"intValue": "7"}},
        {"key": "real", "value": {"doubleValue": 1.5}},
        {"key": "truth", "value": {"boolValue": True}},
        {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": attributes(inner="b")}}},
        {"key": "empty", "value": {}},
    ]
    store.add(
        request(
            span(1, parentSpanId="00000000000000ff", attributes=values, status={"code": 2, "message": "no"}),
            span(2, events=[event]),
        )
    )
    columns = (
        "kind, service, scope, parent_span_id, status_code, status_message, attributes, duration, status"
    )
    ((*plain, found, duration, status),) = store.query(f"SELECT {columns} FROM spans WHERE name = 'run 1'")
    assert plain == ["internal", "app", "scope", "00000000000000ff", "error", "no"]
    assert found == {
        "whole": "7",
        "real": "1.5",
        "truth": "true",
        "list": '["a", "1"]',
        "map": '{"inner": "b"}',
    }
    assert (duration, status) == (5e-7, None)
    assert store.query("SELECT events FROM spans WHERE events IS NOT NULL") == [
        ([{"time_ns": START, "name": "exception", "attributes": {"exception.type": "Trap"}}],)
    ]


def test_an_execution(store: Store) -> None:
    names = {"runtime": "subprocess", "verdict__status": "TLE", "verdict__actor": "kernel", "limit": "cpu"}
    values = {f"sandbox__{name}": value for name, value in names.items()}
    more = {"process__exit__code": "3", "sandbox__process__memory__peak": "1024"}
    times = {"sandbox__process__cpu__user": "1.5", "sandbox__process__cpu__system": "0.25"}
    guest = attributes(sandbox__verdict__status="RE", wasm__exit_code="4", wasm__memory__peak="65536")
    store.add(
        request(
            span(1, attributes=attributes(**values, **more, **times)),
            span(2, attributes=[]),
            span(3, attributes=guest),
        )
    )
    columns = 'runtime, status, actor, cause, "limit", exit_code, memory_peak, cpu_time'
    assert store.query(f"SELECT {columns} FROM executions ORDER BY start_ns") == [
        ("subprocess", "TLE", "kernel", None, "cpu", 3, 1024.0, 1.75),
        (None, "RE", None, None, None, 4, 65536.0, None),
    ]


def test_a_log_record(store: Store) -> None:
    store.add(
        _logs(
            {"observedTimeUnixNano": str(START), "body": {"stringValue": "text"}, "severityText": "WARN"},
            {
                "timeUnixNano": str(START),
                "body": {"kvlistValue": {"values": attributes(a="b")}},
                "traceId": "",
            },
        ),
        "logs.jsonl",
    )
    assert store.query("SELECT severity, body, trace_id, service FROM logs ORDER BY body") == [
        ("WARN", "text", None, "app"),
        (None, '{"a": "b"}', None, "app"),
    ]


def test_points_of_metrics(store: Store) -> None:
    time = {"timeUnixNano": str(START), "startTimeUnixNano": str(START - 10**9)}
    exemplar = {"timeUnixNano": str(START), "asDouble": 2.5, "traceId": "ab", "spanId": "cd"}
    buckets = {
        "count": "3",
        "sum": 6.5,
        "min": 1,
        "max": 4,
        "bucketCounts": ["1", "2"],
        "explicitBounds": [2.0],
    }
    total = {"dataPoints": [{**time, "asInt": "7"}], "isMonotonic": True, "aggregationTemporality": 2}
    spread = {"dataPoints": [{**time, **buckets, "exemplars": [exemplar]}], "aggregationTemporality": 1}
    store.add(
        _metrics(
            {"name": "a", "unit": "1", "sum": total},
            {"name": "b", "gauge": {"dataPoints": [{**time, "asDouble": 0.5}]}},
            {"name": "c", "histogram": spread},
            {"name": "d", "exponentialHistogram": {"dataPoints": [{**time, "count": 2, "sum": 3}]}},
            {"name": "e", "summary": {"dataPoints": [{**time, "count": "1", "sum": 1.0}]}},
        ),
        "metrics.jsonl",
    )
    columns = "name, type, temporality, value, count, sum, min, max, buckets, bounds"
    assert store.query(f"SELECT {columns} FROM metrics ORDER BY name") == [
        ("a", "sum", "cumulative", 7.0, None, None, None, None, [], []),
        ("b", "gauge", "unspecified", 0.5, None, None, None, None, [], []),
        ("c", "histogram", "delta", None, 3, 6.5, 1.0, 4.0, [1, 2], [2.0]),
        ("d", "exponential_histogram", "unspecified", None, 2, 3.0, None, None, [], []),
        ("e", "summary", "unspecified", None, 1, 1.0, None, None, [], []),
    ]
    assert store.query("SELECT exemplars FROM metrics WHERE exemplars IS NOT NULL") == [
        ([{"time_ns": START, "value": 2.5, "trace_id": "ab", "span_id": "cd"}],)
    ]


HOSTILE = {
    "quotes": "'; DROP TABLE spans; -- \" \\ \n\r\t\0",
    "markup": "<script>alert(1)</script> {{7*7}} $(id)",
    "controls": "\x1b]0;title\x07\x1b[31m",
    "emoji": "\U0001f600\ud7ff\u2028",
    "long": "x" * (1 << 20),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_texts(store: Store, name: str) -> None:
    text = HOSTILE[name]
    store.add(
        request(span(1, name=text, attributes=[*attributes(**{name: text}), {"key": text, "value": {}}]))
    )
    assert store.query("SELECT name, attributes[?] FROM spans".replace("?", f"'{name}'")) == [(text, text)]


def test_hostile_shapes(store: Store) -> None:
    many = [{"key": f"a{number}", "value": {"intValue": str(number)}} for number in range(100_000)]
    nested: Any = {"stringValue": "deep"}
    for _ in range(100):
        nested = {"arrayValue": {"values": [nested]}}
    store.add(
        request(
            span(1, attributes=many),
            span(2, attributes=[{"key": "deep", "value": nested}]),
            span(3, startTimeUnixNano="99999999999999999999999", endTimeUnixNano="-1", kind="x", status=None),
            span(4, startTimeUnixNano="never", attributes=None),
            span(5, startTimeUnixNano=str(START), endTimeUnixNano=str(START - 10)),
        )
    )
    assert store.query("SELECT name, duration, start_time IS NULL FROM spans ORDER BY name") == [
        ("run 1", 5e-7, False),
        ("run 2", 5e-7, False),
        ("run 3", None, True),
        ("run 4", None, True),
        ("run 5", -1e-8, False),
    ]
    assert store.query("SELECT len(map_keys(attributes)) FROM spans WHERE name = 'run 1'") == [(100_000,)]


@pytest.mark.parametrize(
    "line", ["[]", "7", '"text"', "null", '{"resourceSpans": 7}', '{"resourceSpans": [{"scopeSpans": [7]}]}']
)
def test_lines_that_are_no_requests_cost_themselves_only(store: Store, line: str) -> None:
    store.add(request(span(1)) + line + "\n" + request(span(2)))
    assert store.names() == ["run 1", "run 2"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY spans TO '/tmp/sandscope-must-not-exist.csv'",
        "ATTACH '/tmp/sandscope-must-not-exist.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT nothing FROM spans",
        "not SQL",
    ],
)
def test_queries_can_only_read_the_tables(store: Store, sql: str) -> None:
    with pytest.raises(SandscopeError, match="Cannot run the query: "):
        store.query(sql)
