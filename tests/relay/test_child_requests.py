"""What a child sends becomes part of its own execution, or it is dropped and counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from sandscope._relay import _relayed_records
from sandscope._relay._child_requests import check
from sandscope._relay._origin import Origin

NOW = time.time_ns()
HOUR = 3600 * 10**9
ORIGIN = Origin(b"T" * 16, b"E" * 8, "vendor=1", NOW)
RESOURCE = Resource()
RESOURCE.attributes.add(key="service.name").value.string_value = "parent"


@pytest.fixture(autouse=True)
def counts() -> Iterator[dict[Any, int]]:
    _relayed_records._counts.clear()
    yield _relayed_records._counts
    _relayed_records._counts.clear()


def spans(**changes: Any) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add(schema_url="https://hostile")
    group.resource.attributes.add(key="service.name").value.string_value = "another"
    scope = group.scope_spans.add()
    scope.scope.name = "library"
    fields: dict[str, Any] = {
        "trace_id": ORIGIN.trace_id,
        "span_id": b"S" * 8,
        "parent_span_id": b"P" * 8,
        "name": "a span",
        "start_time_unix_nano": NOW,
        "end_time_unix_nano": NOW + 1,
    }
    scope.spans.add(**{**fields, **changes})
    return request


def logs(**changes: Any) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    fields: dict[str, Any] = {"trace_id": ORIGIN.trace_id, "span_id": b"S" * 8, "time_unix_nano": NOW}
    record = request.resource_logs.add().scope_logs.add().log_records.add(**{**fields, **changes})
    record.body.string_value = "a line"
    return request


def one_span(request: ExportTraceServiceRequest) -> Any:
    accepted = check("span", request.SerializeToString(), ORIGIN, RESOURCE)
    assert accepted.records == 1
    (group,) = ExportTraceServiceRequest.FromString(accepted.request).resource_spans
    assert (group.resource, group.schema_url) == (RESOURCE, "")
    (scope,) = group.scope_spans
    (span,) = scope.spans
    return span


def one_log(request: ExportLogsServiceRequest) -> Any:
    accepted = check("log", request.SerializeToString(), ORIGIN, RESOURCE)
    assert accepted.records == 1
    (group,) = ExportLogsServiceRequest.FromString(accepted.request).resource_logs
    assert group.resource == RESOURCE
    return group.scope_logs[0].log_records[0]


def keys(owner: Any) -> list[str]:
    return [attribute.key for attribute in owner.attributes]


def test_a_span_is_part_of_the_execution_and_of_the_parents_service() -> None:
    span = one_span(spans())
    assert (span.name, span.trace_id, span.span_id, span.parent_span_id) == (
        "a span",
        ORIGIN.trace_id,
        b"S" * 8,
        b"P" * 8,
    )
    assert span.trace_state == "vendor=1"
    assert keys(span) == ["sandbox.relayed"]
    assert one_span(spans(parent_span_id=b"")).parent_span_id == ORIGIN.span_id
    assert one_span(spans(trace_state="ot=th:0")).trace_state == "vendor=1"


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"trace_id": b"X" * 16}, "other_trace"),
        ({"trace_id": b""}, "other_trace"),
        ({"span_id": ORIGIN.span_id}, "other_span"),
        ({"span_id": bytes(8)}, "invalid"),
        ({"span_id": b"S" * 9}, "invalid"),
        ({"parent_span_id": b"P" * 7}, "invalid"),
        ({"start_time_unix_nano": NOW - HOUR}, "other_time"),
        ({"end_time_unix_nano": NOW + HOUR}, "other_time"),
        ({"start_time_unix_nano": 0}, "other_time"),
        ({"name": "n" * 70_000}, "too_large"),
        ({"links": [{"trace_id": ORIGIN.trace_id}] * 129}, "too_large"),
        ({"events": [{"name": "e"}] * 129}, "too_large"),
        ({"events": [{"attributes": [{"key": "a"}] * 129}]}, "too_large"),
        ({"attributes": [{"key": "a"}] * 128}, "too_large"),
    ],
)
def test_a_span_that_is_dropped(changes: dict[str, Any], outcome: str, counts: dict[Any, int]) -> None:
    accepted = check("span", spans(**changes).SerializeToString(), ORIGIN, RESOURCE)
    assert (accepted.request, accepted.records, counts) == (b"", 0, {("span", outcome): 1})


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"trace_id": b"X" * 16}, "other_trace"),
        ({"span_id": b"S"}, "invalid"),
        ({"time_unix_nano": 1}, "other_time"),
        ({"observed_time_unix_nano": NOW + HOUR}, "other_time"),
        ({"severity_text": "s" * 70_000}, "too_large"),
    ],
)
def test_a_log_record_that_is_dropped(changes: dict[str, Any], outcome: str, counts: dict[Any, int]) -> None:
    accepted = check("log", logs(**changes).SerializeToString(), ORIGIN, RESOURCE)
    assert (accepted.records, counts) == (0, {("log", outcome): 1})


def test_a_log_record_without_a_trace_or_a_time_belongs_to_the_execution() -> None:
    log = one_log(logs(trace_id=b"", span_id=b"", time_unix_nano=0))
    assert (log.trace_id, log.span_id) == (ORIGIN.trace_id, ORIGIN.span_id)
    assert log.observed_time_unix_nano >= NOW


def test_no_record_looks_like_one_of_the_parents_own() -> None:
    reserved = ("sandbox.verdict.status", "sandscope.outcome", "security.event.type", "service.name")
    given = [{"key": key} for key in (*reserved, "http.request.method")]
    renamed = [*(f"guest.{key}" for key in reserved), "http.request.method", "sandbox.relayed"]
    request = spans(attributes=given, events=[{"name": "sandbox.security", "attributes": given}])
    request.resource_spans[0].scope_spans[0].scope.name = "sandscope_instrumentation_subprocess"
    span = one_span(request)
    assert keys(span) == renamed
    assert (span.events[0].name, keys(span.events[0])) == ("guest.sandbox.security", renamed[:-1])
    accepted = check("span", request.SerializeToString(), ORIGIN, RESOURCE)
    scope = ExportTraceServiceRequest.FromString(accepted.request).resource_spans[0].scope_spans[0].scope
    assert scope.name == "guest.sandscope_instrumentation_subprocess"
    log = one_log(logs(attributes=given, event_name="security.authentication"))
    assert (keys(log), log.event_name) == (renamed, "guest.security.authentication")


def test_a_mark_cannot_be_forged() -> None:
    span = one_span(spans(attributes=[{"key": "sandbox.relayed", "value": {"bool_value": False}}]))
    assert keys(span) == ["guest.sandbox.relayed", "sandbox.relayed"]
    assert span.attributes[1].value.bool_value


def test_links_stay_in_the_trace() -> None:
    own, other = {"trace_id": ORIGIN.trace_id, "span_id": b"L" * 8}, {"trace_id": b"X" * 16}
    span = one_span(spans(links=[other, own, other, {**own, "attributes": [{"key": "sandbox.x"}]}]))
    assert [link.trace_id for link in span.links] == [ORIGIN.trace_id] * 2
    assert keys(span.links[1]) == ["guest.sandbox.x"]


def test_a_request_does_not_grow() -> None:
    """Many small resources do not each become the parent's."""
    request = ExportTraceServiceRequest()
    for _ in range(2000):
        request.resource_spans.add().scope_spans.add()
    request.MergeFrom(spans())
    accepted = check("span", request.SerializeToString(), ORIGIN, RESOURCE)
    assert accepted.request == b""
    few = ExportTraceServiceRequest()
    for _ in range(60):
        few.MergeFrom(spans())
    accepted = check("span", few.SerializeToString(), ORIGIN, RESOURCE)
    assert len(ExportTraceServiceRequest.FromString(accepted.request).resource_spans) == 1
    assert accepted.records == 60


def test_a_million_of_records_are_not_looked_at(counts: dict[Any, int]) -> None:
    request = spans()
    scope = request.resource_spans[0].scope_spans[0]
    for _ in range(10_000):
        scope.spans.add()
    accepted = check("span", request.SerializeToString(), ORIGIN, RESOURCE)
    assert accepted.records == 1
    assert counts == {("span", "too_large"): 10_001 - 4096, ("span", "other_trace"): 4095}


def test_unknown_fields_are_not_sent_on() -> None:
    request = spans().SerializeToString() + b"\xfa\x3f\x06canary"
    accepted = check("span", request, ORIGIN, RESOURCE)
    assert accepted.records == 1
    assert b"canary" not in accepted.request


@pytest.mark.parametrize("request_", [b"\xff" * 100, b"\x0a\x05ab", b"canary", b"\x0a" * 4096])
def test_what_is_no_request_counts_as_one(request_: bytes, counts: dict[Any, int]) -> None:
    assert check("span", request_, ORIGIN, RESOURCE).records == 0
    assert counts == {("span", "invalid"): 1}


def test_metrics_are_not_sent_on(counts: dict[Any, int]) -> None:
    assert check("metric", b"anything", ORIGIN, RESOURCE).records == 0
    assert counts == {("metric", "not_relayed"): 1}
