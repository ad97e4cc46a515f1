"""Metrics with their exemplars, security, two ranges of time, and agents' tool calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness._local_store import START, Store, attributes, log_request, request, security_event, span
from sandscope._view._filters import iso
from sandscope._view._series import rates, values
from view._site import Site
from view.test_hostile import MARKUP

SECOND = 10**9


def _metrics(*metrics: dict[str, Any]) -> str:
    scopes = [{"scope": {"name": "scope"}, "metrics": list(metrics)}]
    resource = {"attributes": attributes(service__instance__id="one")}
    return json.dumps({"resourceMetrics": [{"resource": resource, "scopeMetrics": scopes}]}) + "\n"


def _histogram(seconds: int, buckets: list[int], **changes: Any) -> dict[str, Any]:
    exemplar = {"timeUnixNano": str(START), "asDouble": 0.02, "traceId": "ab" * 16, "spanId": "cd" * 8}
    point = {
        "timeUnixNano": str(START + seconds * SECOND),
        "startTimeUnixNano": str(START - 1),
        "count": str(sum(buckets)),
        "sum": 1.0,
        "explicitBounds": [0.01, 0.1],
        "bucketCounts": buckets,
        "exemplars": [exemplar],
        **changes,
    }
    return {
        "name": "a.duration",
        "unit": "s",
        "histogram": {"dataPoints": [point], "aggregationTemporality": 2},
    }


def test_a_metric_and_its_exemplars(store: Store, site: Site) -> None:
    store.add(_metrics(_histogram(1, [10, 0, 0]), _histogram(5, [10, 10, 0])), "metrics.jsonl")
    assert "/metrics/a.duration" in site.get("/metrics").links("/metrics/")
    page = site.get("/metrics/a.duration")
    assert [values["points"].split()[0] for tag, values in page.tags if tag == "polyline"] != []
    trace = f"/traces/{'ab' * 16}/{'cd' * 8}"
    assert page.links("/traces/") == [trace, trace]  # in the picture and in the table
    assert "20.0 ms" in page.text


def test_a_metric_that_did_not_arrive(site: Site) -> None:
    assert "No metric has arrived" in site.get("/metrics").text
    assert site.get("/metrics/absent").status == 404


def test_a_metric_without_a_point_in_the_time(store: Store, site: Site) -> None:
    store.add(_metrics(_histogram(1, [10, 0, 0])), "metrics.jsonl")
    page = site.get(f"/metrics/a.duration?since={iso(START + 60 * SECOND)}")
    assert (page.status, "No point has arrived in this time" in page.text) == (200, True)
    assert site.get("/metrics/absent?range=1h").status == 404


def _point(seconds: int, value: float, **changes: Any) -> dict[str, Any]:
    point = {
        "time_ns": START + seconds * SECOND,
        "start_ns": START,
        "instance": "one",
        "label": "a",
        "value": value,
    }
    return {**point, "temporality": "cumulative", "buckets": None, "count": None, "sum": None, **changes}


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_the_rate_of_a_counter(temporality: str) -> None:
    amounts = (4, 6, 9) if temporality == "cumulative" else (4, 2, 3)
    points = [_point(10 * number, amount, temporality=temporality) for number, amount in enumerate(amounts)]
    (series,) = rates(points)
    assert [rate for _, rate in series.points] == [4.0, 2.0, 3.0]


def test_processes_that_count_the_same_are_added() -> None:
    points = [_point(seconds, 5, instance=instance) for seconds in (0, 10) for instance in ("one", "two")]
    assert [rate for _, rate in rates(points)[0].points] == [10.0, 0.0]


def test_quantiles_of_what_was_added_to_a_histogram() -> None:
    points = [
        _point(0, 0, buckets=[100, 0, 0], bounds=[1.0, 2.0]),
        _point(10, 0, buckets=[100, 100, 0], bounds=[1.0, 2.0]),
    ]
    p50 = values(points)[0]
    assert (p50.label, [value for _, value in p50.points]) == ("p50", [0.5, 1.5])


def _with_verdict(number: int, status: str, milliseconds: int) -> dict[str, Any]:
    verdict = attributes(
        sandbox__runtime="wasmtime",
        sandbox__verdict__status=status,
        sandbox__verdict__actor="guest",
        sandbox__verdict__cause="cause",
    )
    end = START + number * 1_000_000 + milliseconds * 1_000_000
    return span(number, name="run", attributes=verdict, endTimeUnixNano=str(end))


def test_security(store: Store, site: Site) -> None:
    store.add(request(span(1)))
    assert "The sandboxes refused nothing" in site.get("/security").text
    store.add(request(_with_verdict(2, "SV", 1)))
    page = site.get("/security")
    assert "1 of 2 executions were ended for what they tried" in page.text
    assert page.links("/traces/") == [f"/traces/{2:032x}/{2:016x}"]
    assert site.get("/executions?verdict=security").rows() == 1


def test_security_events_of_programs(store: Store, site: Site) -> None:
    user = attributes(security__event__type="auth_failure", user__id=MARKUP)
    failure = security_event(1, "auth_failure", traceId="ab" * 16, spanId="cd" * 8, attributes=user)
    other = security_event(3, "auth_failure", eventName="an ordinary one")
    store.add(log_request(failure, security_event(2, "own_type"), other), "logs.jsonl")
    page = site.get("/security")
    assert "auth_failure 1 own_type 1" in page.text
    assert page.text.index("own_type: what happened") < page.text.index("auth_failure: what happened")
    assert f"user.id={MARKUP}" in page.text
    assert page.links("/traces/") == [f"/traces/{'ab' * 16}/{'cd' * 8}"]
    only = site.get("/security?type=own_type")
    assert "own_type: what happened" in only.text
    assert "auth_failure: what happened" not in only.text
    late = site.get(f"/security?since={iso(START + 2 * SECOND)}")
    assert "auth_failure" not in late.text
    assert f"/security?since={iso(START + 2 * SECOND).replace(':', '%3A')}&type=own_type" in late.links(
        "/security"
    )
    assert "None of this type" in site.get("/security?type=%3Cb%3E").text


def test_what_has_changed_by_more_than_chance(store: Store, site: Site) -> None:
    fine = [_with_verdict(number, "OK", 10 + number % 3) for number in range(1, 51)]
    worse = [
        _with_verdict(number, "RE" if number % 2 else "OK", 40 + number % 3) for number in range(51, 101)
    ]
    store.add(request(*fine, *worse))
    page = site.get("/compare")
    assert "fails more slower" in page.text
    assert "0.0 % → 50.0 %" in page.text
    same = {"before_since": START, "before_until": START + 25_000_000, "split": START + 25_000_000}
    query = "&".join(f"{name}={iso(when)}" for name, when in same.items())
    page = site.get(f"/compare?{query}&until={iso(START + 50_000_000)}")
    assert ("fails more" in page.text, "slower" in page.text.split("Each cell")[0]) == (False, False)


def test_the_overview_says_what_is_different_lately(store: Store, site: Site) -> None:
    store.add(request(*(_with_verdict(number, "OK", 10 + number % 3) for number in range(1, 101))))
    assert "Lately different" not in site.get("/").text
    store.add(request(*(_with_verdict(number, "RE", 10 + number % 3) for number in range(101, 111))))
    assert "Lately different run fails more" in site.get("/").text


def test_a_tool_call_with_what_its_code_did(store: Store, site: Site) -> None:
    assert "No tool call has been recorded" in site.get("/agents").text
    call = attributes(gen_ai__tool__name=MARKUP, gen_ai__tool__call__id="call_7")
    trace = {"traceId": "ab" * 16}
    other = {**trace, "parentSpanId": f"{9:016x}"}
    store.add(
        request(
            span(
                1,
                name="execute_tool run_python",
                attributes=call,
                endTimeUnixNano=str(START + SECOND),
                **trace,
            ),
            span(2, name="python", parentSpanId=f"{1:016x}", **trace),
            span(3, name="of another", **other),
        )
    )
    page = site.get("/agents")
    assert MARKUP in page.text
    assert "call_7" in page.text
    assert page.links("/traces/") == [f"/traces/{'ab' * 16}/{number:016x}" for number in (1, 2)]
