"""The overlay `span-metrics`: rate, errors and duration of all spans, before sampling, with exemplars and in bounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from collector._prometheus_page import Samples, samples, total, wait_for_page
from collector._spans import execution, send_spans, span
from harness import Contract, wait_until
from harness._promql import prometheus_names
from sandscope._collector import CollectorProcess

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector
TRACE = "0" * 26 + "ffffff"
"""A trace that is in no share."""
LABELS = {
    *("job", "service_name", "span_name", "span_kind", "status_code", "collector_instance_id"),
    *("sandbox_runtime", "sandbox_operation", "sandbox_verdict_status"),
    *("otel_scope_name", "otel_scope_version", "otel_scope_schema_url", "otel_metric_overflow"),
}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_SPAN_METRICS_INTERVAL", "500ms")


def found(collector: CollectorProcess) -> Samples:
    return samples(wait_for_page(collector.ports.prometheus, "span_calls_total"))


def test_all_spans_are_counted_before_any_is_left_out(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_SHARE", "0")
    monkeypatch.setenv("SANDSCOPE_SAMPLING_WAIT", "1s")
    collector = start("span-metrics", "sampling", "prometheus")
    given = [span("GET /", TRACE, seconds=0.2) for _ in range(30)]
    failed = [execution("run", TRACE, "TLE", seconds=2, made__up="x") for _ in range(10)]
    send_spans(collector.ports.otlp_http, *given, *failed)
    assert wait_until(lambda: total(found(collector), "span_calls_total", span_name="GET /") == 30)
    page = found(collector)
    duration = "span_duration_seconds"
    assert total(page, f"{duration}_count", span_name="GET /", job="judge") == 30
    assert total(page, f"{duration}_sum", span_name="GET /") == pytest.approx(6)
    assert total(page, f"{duration}_bucket", span_name="GET /", le="0.1") == 0
    assert total(page, f"{duration}_bucket", span_name="GET /", le="0.25") == 30
    errors = {"status_code": "STATUS_CODE_ERROR", "sandbox_verdict_status": "TLE", "sandbox_runtime": "judge"}
    assert total(page, "span_calls_total", **errors) == 10
    assert {name for labels, _ in page["span_calls_total"] for name in labels} <= LABELS


def test_an_exemplar_leads_to_the_trace(start: Start) -> None:
    collector = start("span-metrics", "prometheus")
    send_spans(collector.ports.otlp_http, execution("run", TRACE, "TLE", seconds=2))
    page = wait_for_page(collector.ports.prometheus, "span_duration_seconds_bucket")
    (bucket,) = (line for line in page.splitlines() if "seconds_bucket" in line and 'le="2.5"' in line)
    assert f'trace_id="{TRACE}"' in bucket


def test_made_up_names_do_not_grow_it_without_bound(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_SERVICES", "judge|trainer-.*")
    collector = start("span-metrics", "prometheus")
    for begin in range(0, 3000, 500):
        send_spans(
            collector.ports.otlp_http, *(span(f"span {begin + number}", TRACE) for number in range(500))
        )
    for number in range(50):
        send_spans(collector.ports.otlp_http, span("x", TRACE), service=f"stranger {number}")
    send_spans(collector.ports.otlp_http, span("x", TRACE), service="trainer-1")
    assert wait_until(lambda: total(found(collector), "span_calls_total", job="judge") == 3000)
    assert wait_until(lambda: total(found(collector), "span_calls_total", job="trainer-1") == 1)
    series = found(collector)["span_calls_total"]
    assert {labels["job"] for labels, _ in series} == {"judge", "trainer-1"}
    assert len(series) <= 1002
    assert total(found(collector), "span_calls_total", otel_metric_overflow="true") >= 2000


def test_no_metric_of_sandscope_has_its_names() -> None:
    names = {name for metric in Contract.whole().metrics.values() for name in prometheus_names(metric)}
    assert len(names) > 50
    assert {name for name in names if name.startswith("span_")} == set()
