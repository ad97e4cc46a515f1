"""The overlay `quiet`: ordinary executions leave no spans and log records; everything else does."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from collector._log_records import records_in
from collector._spans import attributes_for, event, execution, names_in, send_spans, span
from harness import PATIENCE, clean_environment, complete_lines, run_program, wait_until
from sandscope import SandscopeError
from sandscope._collector import CollectorProcess, Composition, validate

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector
TRACE = "1" * 32


def send_logs(collector: CollectorProcess, *records: dict[str, Any]) -> None:
    resource = {"attributes": attributes_for({"service.name": "judge"})}
    body = json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})
    connection = HTTPConnection("127.0.0.1", collector.ports.otlp_http, timeout=PATIENCE)
    connection.request("POST", "/v1/logs", body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


def record(
    body: str, status: str = "OK", seconds: float = 0.001, name: str = "sandbox.execution", **more: str
) -> Any:
    duration = {"key": "sandbox.duration", "value": {"doubleValue": seconds}}
    attributes = [duration, *attributes_for({"sandbox.verdict.status": status, **more})]
    return {"eventName": name, "body": {"stringValue": body}, "attributes": attributes}


def test_only_ordinary_executions_are_left_out(start: Start) -> None:
    collector = start("quiet", "local", "security")
    spans = [
        execution("ordinary", TRACE),
        execution("failed", TRACE, "TLE"),
        execution("slow", TRACE, seconds=0.2),
        execution("eventful", TRACE, events=(event("sandbox.security"),)),
        span("of the program", TRACE),
    ]
    assert send_spans(collector.ports.otlp_http, *spans) == 200
    assert names_in(collector.data / "traces.jsonl") == ["eventful", "failed", "of the program", "slow"]
    send_logs(
        collector,
        record("ordinary"),
        record("failed", "TLE"),
        record("slow", seconds=0.2),
        record("security", name="sandbox.security"),
        record("event of security", **{"security.event.type": "auth_success"}),
        {"body": {"stringValue": "of the program"}},
    )
    kept = {each["body"]["stringValue"] for each in records_in(collector.data / "logs.jsonl")}
    assert kept == {"failed", "slow", "security", "event of security", "of the program"}
    security = {each["body"]["stringValue"] for each in records_in(collector.data / "security.jsonl")}
    assert security == {"security", "event of security"}


def test_it_can_be_for_some_services_only(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_QUIET", "3600")
    monkeypatch.setenv("SANDSCOPE_QUIET_SERVICES", "trainer-.*")
    collector = start("quiet", "local")
    for service in ("judge", "trainer-1", "a trainer-1"):
        send_spans(collector.ports.otlp_http, execution(service, TRACE, seconds=60), service=service)
    assert names_in(collector.data / "traces.jsonl") == ["a trainer-1", "judge"]


def test_a_real_program_is_quiet_and_its_metrics_are_exact(start: Start) -> None:
    collector = start("quiet", "local")
    program = """
import subprocess
for _ in range(5):
    subprocess.run(['/bin/true'])
subprocess.run(['/bin/false'])
"""
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    assert run_program(program, environment=environment).returncode == 0
    assert wait_until(lambda: len(names_in(collector.data / "traces.jsonl")) == 1)
    executions = [
        each
        for each in records_in(collector.data / "logs.jsonl")
        if each.get("eventName") == "sandbox.execution"
    ]
    assert len(executions) == 1
    points = [
        point
        for line in complete_lines(collector.data / "metrics.jsonl")
        for group in json.loads(line)["resourceMetrics"]
        for scope in group["scopeMetrics"]
        for metric in scope["metrics"]
        if metric["name"] == "sandbox.executions"
        for point in metric["sum"]["dataPoints"]
    ]
    assert sum(int(point.get("asInt", 0)) for point in points[-2:]) == 6


@pytest.mark.parametrize("order", [("quiet", "sampling"), ("sampling", "quiet")], ids="+".join)
def test_quiet_and_sampling_are_combined_in_any_order(
    order: tuple[str, str], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_SHARE", "100")
    collector = start(*order, "local")
    send_spans(collector.ports.otlp_http, execution("ordinary", TRACE), execution("failed", TRACE, "RE"))
    assert names_in(collector.data / "traces.jsonl") == ["failed"]
    collector.stop()
    assert names_in(collector.data / "traces.jsonl") == ["failed"]


def test_a_value_that_is_no_number_is_an_error_at_start(
    otelcol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_QUIET", "much")
    with pytest.raises(SandscopeError, match="much"):
        validate(otelcol, Composition.of("quiet"))
