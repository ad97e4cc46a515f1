"""Telemetry that the SDK's exporters send can be read back from the stores by its trace id."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError

import pytest
from examples.read_back import jaeger_trace, loki_records, prometheus_exemplars, prometheus_query
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from harness import PATIENCE, collector_ports, free_ports
from harness._requires import requires_otelcol
from harness._stores import Stores
from sandscope._collector import CollectorProcess, Composition

pytestmark = pytest.mark.stores
T = TypeVar("T")


def test_prometheus_jaeger_and_loki_take_otlp_directly(stores: Stores) -> None:
    otlp = stores.collector
    trace_id = send(
        "direct",
        GrpcSpanExporter(otlp["SANDSCOPE_JAEGER_ENDPOINT"], insecure=True),
        OTLPMetricExporter(f"{otlp['SANDSCOPE_PROMETHEUS_OTLP_ENDPOINT']}/v1/metrics"),
        OTLPLogExporter(f"{otlp['SANDSCOPE_LOKI_ENDPOINT']}/v1/logs"),
    )

    assert_arrived(stores, "direct", trace_id, series='{service_name="direct"}')


def test_one_trace_id_is_found_in_all_stores_behind_the_collector(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stores.collector.items():
        monkeypatch.setenv(name, value)
    collector = CollectorProcess(
        Composition.of("prometheus", "jaeger", "loki"),
        data=tmp_path / "data",
        ports=collector_ports(prometheus=stores.scraped),
        otelcol=requires_otelcol(),
    )
    with collector:
        trace_id = send(
            "behind",
            OTLPSpanExporter(f"{collector.endpoint}/v1/traces"),
            OTLPMetricExporter(f"{collector.endpoint}/v1/metrics"),
            OTLPLogExporter(f"{collector.endpoint}/v1/logs"),
        )

        assert_arrived(stores, "behind", trace_id, series='{job="behind"}')


def test_metrics_are_pushed_by_remote_write(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stores.collector.items():
        monkeypatch.setenv(name, value)
    collector = CollectorProcess(
        Composition.of("prometheus-remote-write", "jaeger", "loki"),
        data=tmp_path / "data",
        ports=collector_ports(),
        otelcol=requires_otelcol(),
    )
    with collector:
        trace_id = send(
            "written",
            OTLPSpanExporter(f"{collector.endpoint}/v1/traces"),
            OTLPMetricExporter(f"{collector.endpoint}/v1/metrics"),
            OTLPLogExporter(f"{collector.endpoint}/v1/logs"),
        )

        assert_arrived(stores, "written", trace_id, series='{job="written"}')


def test_metrics_of_spans_lead_to_their_trace(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stores.collector.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SANDSCOPE_SPAN_METRICS_INTERVAL", "4s")  # exemplars are on the page for so long
    collector = CollectorProcess(
        Composition.of("prometheus", "jaeger", "span-metrics"),
        data=tmp_path / "data",
        ports=collector_ports(prometheus=stores.scraped),
        otelcol=requires_otelcol(),
    )
    with collector:
        trace_id = send(
            "spans",
            OTLPSpanExporter(f"{collector.endpoint}/v1/traces"),
            OTLPMetricExporter(f"{collector.endpoint}/v1/metrics"),
            OTLPLogExporter(f"{collector.endpoint}/v1/logs"),
        )

        calls = 'span_calls_total{job="spans",span_name="inner"}'
        counted = eventually(
            lambda: prometheus_query(stores.prometheus, calls),
            lambda found: [sample.value for sample in found] == [1.0],
        )
        assert len(counted) == 1
        buckets = 'span_duration_seconds_bucket{job="spans",span_name="inner"}'
        exemplars = eventually(lambda: prometheus_exemplars(stores.prometheus, buckets), bool)
        assert {exemplar.labels["trace_id"] for exemplar in exemplars} == {trace_id}
        assert eventually(lambda: jaeger_trace(stores.jaeger, trace_id), lambda found: len(found) == 2)


def test_unknown_names_and_ids_return_nothing(stores: Stores) -> None:
    assert prometheus_query(stores.prometheus, "nothing_of_this_name") == []
    assert prometheus_exemplars(stores.prometheus, "nothing_of_this_name") == []
    assert jaeger_trace(stores.jaeger, "0123456789abcdef0123456789abcdef") == []
    assert loki_records(stores.loki, '{service_name="nobody"}') == []


def test_a_query_that_a_store_refuses_is_an_error(stores: Stores) -> None:
    for ask in (
        lambda: prometheus_query(stores.prometheus, "sum("),
        lambda: loki_records(stores.loki, "{"),
        lambda: jaeger_trace(stores.jaeger, "no trace id/.."),
    ):
        with pytest.raises(HTTPError, match="HTTP Error 400") as refused:
            ask()
        refused.value.close()


def test_an_address_where_nothing_listens_is_an_error() -> None:
    port = free_ports(["unused"])["unused"]
    with pytest.raises(URLError, match="refused"):
        loki_records(f"http://127.0.0.1:{port}", "{}")


def send(service: str, spans: SpanExporter, metrics: MetricExporter, logs: LogRecordExporter) -> str:
    """Send a span with a child, a measurement and a log record inside it; return their trace id."""
    resource = Resource({"service.name": service})
    tracers, loggers = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    meters = MeterProvider([PeriodicExportingMetricReader(metrics)], resource=resource)
    duration = meters.get_meter("test").create_histogram(
        "test.duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1.0]
    )
    tracer = tracers.get_tracer("test")
    with (
        tracer.start_as_current_span("outer"),
        tracer.start_as_current_span("inner", attributes={"test.count": 7, "test.names": ["a", "b"]}) as span,
    ):
        duration.record(0.5)
        loggers.get_logger("test").emit(
            LogRecord(body="ended", severity_number=SeverityNumber.INFO, attributes={"test.name": "a"})
        )
    for provider in (tracers, meters, loggers):
        provider.shutdown()
    return format(span.get_span_context().trace_id, "032x")


def assert_arrived(stores: Stores, service: str, trace_id: str, *, series: str) -> None:
    """Check each signal, its trace id and its attributes, as the stores' APIs return them."""
    spans = eventually(lambda: jaeger_trace(stores.jaeger, trace_id), lambda found: len(found) == 2)
    inner, outer = sorted(spans, key=lambda span: span.name)
    assert (inner.name, outer.name, outer.parent_id) == ("inner", "outer", "")
    assert inner.parent_id == outer.span_id
    # Jaeger's store on disk keeps lists as JSON.
    assert inner.attributes == {"test.count": 7, "test.names": '["a","b"]'}
    assert inner.resource["service.name"] == service

    count = f"test_duration_seconds_count{series}"
    samples = eventually(lambda: prometheus_query(stores.prometheus, count), bool)
    assert [sample.value for sample in samples] == [1.0]

    buckets = f"test_duration_seconds_bucket{series}"
    exemplars = eventually(lambda: prometheus_exemplars(stores.prometheus, buckets), bool)
    assert [(exemplar.labels["trace_id"], exemplar.value) for exemplar in exemplars] == [(trace_id, 0.5)]

    query = f'{{service_name="{service}"}} | trace_id="{trace_id}"'
    records = eventually(lambda: loki_records(stores.loki, query), bool)
    assert [(record.body, record.labels["test_name"]) for record in records] == [("ended", "a")]
    assert records[0].labels["span_id"] == inner.span_id


def eventually(ask: Callable[[], T], enough: Callable[[T], bool]) -> T:
    """Ask until the answer suffices, for as long as batches and scrapes can take; return the last answer."""
    deadline = time.monotonic() + PATIENCE
    while not enough(answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer
