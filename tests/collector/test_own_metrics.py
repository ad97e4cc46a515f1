"""The Collector's own metrics arrive in it by overlay `own-metrics`."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from collector._prometheus_page import samples, wait_for_page
from collector._spans import attributes_for
from harness import PATIENCE, OtlpSink, clean_environment, run_program, wait_until
from harness._rules import OF_COLLECTOR, OF_FAILING_COLLECTOR
from sandscope._collector import CollectorProcess, _certificates, _credentials

pytestmark = pytest.mark.collector


def test_what_dashboards_and_alerts_read_is_there(
    start: Callable[..., CollectorProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_JAEGER_ENDPOINT", "127.0.0.1:1")  # what is sent there waits in a queue
    collector = start("local", "prometheus", "own-metrics", "jaeger")
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    done = run_program("import subprocess; subprocess.run(['true'], check=True)", environment=environment)
    assert done.returncode == 0, done.stderr

    def missing() -> set[str]:
        return OF_COLLECTOR - samples(wait_for_page(collector.ports.prometheus, "otelcol_process")).keys()

    wait_until(lambda: not missing())
    assert missing() == set()
    found = samples(wait_for_page(collector.ports.prometheus, "otelcol_process"))
    assert {labels["job"] for labels, _ in found["otelcol_process_memory_rss_bytes"]} == {"collector"}
    assert {labels["exporter"] for labels, _ in found["otelcol_exporter_queue_size"]} >= {"otlp_grpc/jaeger"}


@pytest.mark.parametrize(
    "overlays", [("secure",), ("mutual-tls",), ("secure", "mutual-tls", "guard")], ids="+".join
)
def test_they_need_no_credentials(
    overlays: tuple[str, ...],
    start: Callable[..., CollectorProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(_credentials.FOLDER, str(tmp_path / "certificates"))
    monkeypatch.setenv("SANDSCOPE_SERVICES", "judge")
    _certificates.make(tmp_path / "certificates")
    collector = start("own-metrics", *overlays, "local")
    file = collector.data / "metrics.jsonl"
    assert wait_until(lambda: file.exists() and "otelcol_process_uptime" in file.read_text())


def test_nothing_else_is_taken_on_their_port(start: Callable[..., CollectorProcess]) -> None:
    collector = start("own-metrics", "local")
    body = json.dumps(
        {
            "resourceMetrics": [
                {
                    "resource": {"attributes": attributes_for({"service.name": "forged"})},
                    "scopeMetrics": [
                        {
                            "metrics": [
                                {"name": name, "gauge": {"dataPoints": [{"asInt": "1"}]}}
                                for name in ("sandbox.executions", "otelcol_forged")
                            ]
                        }
                    ],
                }
            ]
        }
    )
    port = collector.ports.own_metrics
    assert _post(port, "/v1/metrics", body) == 200
    assert _post(port, "/v1/traces", '{"resourceSpans": []}') == 404
    assert _post(port, "/v1/logs", '{"resourceLogs": []}') == 404
    assert _post(port, "/v1/metrics", " " * 2_000_000) in {400, 413}
    text = (collector.data / "metrics.jsonl").read_text()
    assert "otelcol_forged" in text
    assert "sandbox.executions" not in text
    assert '"forged"' not in text


def _post(port: int, path: str, body: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_what_a_store_rejects_and_what_finds_no_place_in_a_queue_is_counted(
    start: Callable[..., CollectorProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_JAEGER_ENDPOINT", "127.0.0.1:1")
    monkeypatch.setenv("SANDSCOPE_QUEUE_SIZE", "524288")
    program = """
import contextlib, sandscope
for number in range(3000):
    with contextlib.suppress(ValueError), sandscope.execution("judge", "run", name="run"):
        raise ValueError("." * 200)
"""
    with OtlpSink(status=400) as rejecting:
        monkeypatch.setenv("SANDSCOPE_LOKI_ENDPOINT", rejecting.endpoint)
        collector = start("prometheus", "own-metrics", "jaeger", "loki")
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        assert run_program(program, environment=environment).returncode == 0

        def found() -> set[str]:
            return set(samples(wait_for_page(collector.ports.prometheus, "otelcol_process")))

        expected = {
            "otelcol_exporter_send_failed_log_records_total",
            "otelcol_exporter_enqueue_failed_spans_total",
        }
        assert expected <= OF_FAILING_COLLECTOR
        assert wait_until(lambda: expected <= found())
