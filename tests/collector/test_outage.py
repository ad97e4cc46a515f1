"""Records are sent until the Collector has acknowledged them, and it acknowledges what it has written."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from collector.test_signals import send_all
from deferred._programs import Program
from harness import collector_ports, complete_lines, wait_until
from sandscope._collector import CollectorProcess, Composition
from sandscope._deferred import _outlet

Start = Callable[..., CollectorProcess]
pytestmark = [pytest.mark.collector, pytest.mark.usefixtures("otelcol")]


def _span_ids(folder: Path) -> list[str]:
    lines = complete_lines(folder / "traces.jsonl")
    scopes = [
        scope
        for line in lines
        for group in json.loads(line)["resourceSpans"]
        for scope in group["scopeSpans"]
    ]
    return [span["spanId"] for scope in scopes for span in scope["spans"]]


def _program(collector: CollectorProcess) -> Program:
    """Return a program that exports to the Collector."""
    endpoint = collector.endpoint
    return Program(
        OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=1),
        OTLPLogExporter(f"{endpoint}/v1/logs", timeout=1),
    )


def _kill(collector: CollectorProcess, number: int) -> None:
    assert collector.pid is not None
    os.kill(collector.pid, number)


def test_what_was_acknowledged_is_in_the_files_if_the_collector_is_killed(start: Start) -> None:
    collector = start("local")
    send_all(collector.endpoint)
    _kill(collector, signal.SIGKILL)
    for name in ("traces", "metrics", "logs"):
        assert (collector.data / f"{name}.jsonl").read_text().endswith("\n")


def test_a_collector_that_is_stopped_and_continued(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outlet, "TRIES", 1000)
    collector = start("local")
    program = _program(collector)
    try:
        _kill(collector, signal.SIGSTOP)
        program.run(5)
        assert wait_until(lambda: all(outlet._retry_at for outlet in program.pipeline._outlets))
    finally:
        _kill(collector, signal.SIGCONT)
    assert wait_until(lambda: program.accounted() == [5, 5])
    assert program.outcomes("span") == program.outcomes("log") == {"sent": 5}
    assert len(set(_span_ids(collector.data))) == 5
    program.pipeline.close()


def test_a_collector_that_is_killed_and_started_again(
    otelcol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_outlet, "TRIES", 1000)
    ports = collector_ports()
    with CollectorProcess(Composition.of("local"), data=tmp_path, ports=ports, otelcol=otelcol) as collector:
        program = _program(collector)
        program.run(5)
        assert wait_until(lambda: program.outcomes("span") == {"sent": 5})
        _kill(collector, signal.SIGKILL)
        assert wait_until(lambda: collector.pid is None)
        program.run(5)
        assert wait_until(lambda: all(outlet._retry_at for outlet in program.pipeline._outlets))
    with CollectorProcess(Composition.of("local"), data=tmp_path, ports=ports, otelcol=otelcol):
        assert wait_until(lambda: program.accounted() == [10, 10])
    assert program.outcomes("span") == program.outcomes("log") == {"sent": 10}
    program.pipeline.close()
    assert len(_span_ids(tmp_path)) == len(set(_span_ids(tmp_path))) == 10
