"""A span, a metric and a log record, sent by the SDK's own exporters and read back where they end."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import set_span_in_context

from collector._prometheus_page import wait_for_page
from collector.test_composition import OVERLAYS
from harness import PATIENCE
from sandscope._collector import CollectorProcess

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector


def send_all(endpoint: str) -> str:
    """Send one of each signal; return the trace id that all three carry."""
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"))
    meters = MeterProvider([reader])
    histogram = meters.get_meter("test").create_histogram(
        "test.duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1.0]
    )
    with tracers.get_tracer("test").start_as_current_span("test span") as span:
        context = set_span_in_context(span)
        histogram.record(0.5, context=context)
        record = LogRecord(context=context, body="test record", severity_number=SeverityNumber.INFO)
        loggers.get_logger("test").emit(record)
    for provider in (tracers, meters, loggers):
        provider.shutdown()
    return format(span.get_span_context().trace_id, "032x")


def post_nothing(address: str) -> int:
    """Send an empty request; return the status of the answer."""
    request = urllib.request.Request(address, b"", {"Content-Type": "application/x-protobuf"})  # noqa: S310 - as below
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310 - the Collector's
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def wait_for(file: Path) -> list[dict[str, Any]]:
    """Return the requests in a file of the overlay `local`, once there is one."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if file.is_file() and (text := file.read_text()).endswith("\n"):
            return [json.loads(line) for line in text.splitlines()]
        time.sleep(0.05)
    pytest.fail(f"nothing arrived in {file}")


def values(node: Any, key: str) -> Iterator[Any]:
    """Yield what stands under a key, anywhere in a request."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values(value, key)


def test_each_signal_ends_in_its_local_file(start: Start) -> None:
    collector = start("local")
    trace_id = send_all(collector.endpoint)
    [traces] = wait_for(collector.data / "traces.jsonl")
    [metrics] = wait_for(collector.data / "metrics.jsonl")
    [logs] = wait_for(collector.data / "logs.jsonl")
    assert [spans[0]["name"] for spans in values(traces, "spans")] == ["test span"]
    assert set(values(traces, "traceId")) == {trace_id}
    assert [found[0]["name"] for found in values(metrics, "metrics")] == ["test.duration"]
    assert [value["stringValue"] for value in values(logs, "body")] == ["test record"]
    assert set(values(logs, "traceId")) == {trace_id}


def test_prometheus_can_scrape_a_metric_with_its_exemplar(start: Start) -> None:
    collector = start("prometheus")
    trace_id = send_all(collector.endpoint)
    page = wait_for_page(collector.ports.prometheus, "test_duration_seconds_bucket")
    [bucket] = [
        line for line in page.splitlines() if "test_duration_seconds_bucket" in line and 'le="1.0"' in line
    ]
    assert f'trace_id="{trace_id}"' in bucket


WITHOUT_CREDENTIALS = [(name,) for name in OVERLAYS if name not in {"secure", "mutual-tls"}]
"""For the other two, see `test_secure.py`."""


@pytest.mark.parametrize(
    "overlays", [*WITHOUT_CREDENTIALS, ("prometheus", "names-wasm-sandbox")], ids="+".join
)
def test_every_composition_takes_all_three_signals(overlays: tuple[str, ...], start: Start) -> None:
    collector = start(*overlays)
    statuses = {
        signal: post_nothing(f"{collector.endpoint}/v1/{signal}") for signal in ("traces", "metrics", "logs")
    }
    assert set(statuses.values()) == {200}, statuses
    if "debug" not in overlays:
        send_all(collector.endpoint)
        collector.stop()
        said = collector.log.read_text()
        assert "deprecated" not in said
        assert re.findall(r"^.*\t(?:Traces|Metrics|Logs)\b.*|^.*test span.*", said, re.MULTILINE) == []


def test_stores_that_are_down_hold_up_neither_the_others_nor_the_end(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_JAEGER_ENDPOINT", "127.0.0.1:1")
    monkeypatch.setenv("SANDSCOPE_LOKI_ENDPOINT", "http://127.0.0.1:1/otlp")
    monkeypatch.setenv("SANDSCOPE_PROMETHEUS_OTLP_ENDPOINT", "http://127.0.0.1:1/api/v1/otlp")
    collector = start("jaeger", "loki", "prometheus-otlp", "local")
    send_all(collector.endpoint)
    for signal in ("traces", "metrics", "logs"):
        assert wait_for(collector.data / f"{signal}.jsonl")
    collector.stop(timeout=30)  # afterwards it would be killed; sending is tried again for five minutes
    said = collector.log.read_text()
    assert "Exporting failed" in said
    assert "Shutdown complete" in said


def test_what_has_just_arrived_is_written_before_the_end(start: Start) -> None:
    collector = start("local")
    send_all(collector.endpoint)
    collector.stop()
    for signal in ("traces", "metrics", "logs"):
        assert len((collector.data / f"{signal}.jsonl").read_text().splitlines()) == 1


def test_debug_shows_the_whole_record(start: Start) -> None:
    collector = start("debug")
    trace_id = send_all(collector.endpoint)
    collector.stop()
    said = collector.log.read_text()
    assert trace_id in said
    assert "Body: Str(test record)" in said
