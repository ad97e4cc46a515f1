"""Through the shipped Collector: parent and child without network in one trace, of one service."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector._prometheus_page import samples, total, wait_for_page
from harness import clean_environment, collector_ports, complete_lines, run_program, wait_until
from sandscope._collector import CollectorProcess, Composition
from ways.relay._sandboxes import GUEST, parent, sandbox

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector


def spans(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Yield what is in the Collector's file of spans, with the attributes of the resource."""
    for line in complete_lines(folder / "traces.jsonl"):
        for group in json.loads(line)["resourceSpans"]:
            resource = {
                each["key"]: each["value"].get("stringValue") for each in group["resource"]["attributes"]
            }
            yield from ((span, resource) for scope in group["scopeSpans"] for span in scope["spans"])


def names(folder: Path) -> set[str]:
    return {span["name"] for span, _ in spans(folder)}


def test_one_trace(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_SPAN_METRICS_INTERVAL", "500ms")
    collector = start("local", "prometheus", "span-metrics")
    command = [*sandbox("bwrap"), sys.executable, "-c", GUEST]
    variables = {"PORT": str(collector.ports.otlp_http), "SANDSCOPE_RELAY": "on"}
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **variables)
    run = run_program(parent(command), environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    data = tmp_path / "data"
    assert wait_until(lambda: {"in the sandbox", "bwrap", "parent"} <= names(data))
    found = {span["name"]: (span, resource) for span, resource in spans(data)}
    assert len({span["traceId"] for span, _ in found.values()}) == 1
    assert len({resource["service.instance.id"] for _, resource in found.values()}) == 1
    assert found["in the sandbox"][0]["parentSpanId"] == found["bwrap"][0]["spanId"]

    def calls(name: str) -> float:
        page = samples(wait_for_page(collector.ports.prometheus, "span_calls_total"))
        return total(page, "span_calls_total", span_name=name)

    assert wait_until(lambda: calls("parent") == 1)
    assert calls("in the sandbox") == 0
    page = samples(wait_for_page(collector.ports.prometheus, "sandscope_relay_records_total"))
    relayed = {"sandscope_signal": "span", "sandscope_relay_outcome": "relayed"}
    assert total(page, "sandscope_relay_records_total", **relayed) == 1


def test_while_the_collector_is_away_what_children_send_is_kept(otelcol: Path, tmp_path: Path) -> None:
    ports, data, spool = collector_ports(), tmp_path / "data", tmp_path / "spool"
    guest = [sys.executable, "-c", GUEST]
    variables = {"PORT": "1", "SANDSCOPE_RELAY": "on", "SANDSCOPE_SPOOL": str(spool)}
    endpoint = f"http://127.0.0.1:{ports.otlp_http}"
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **variables)
    run = run_program(parent(guest), environment=environment)
    assert run.returncode == 0
    assert list(spool.rglob("*.otlp"))
    with CollectorProcess(Composition.of("local"), data=data, ports=ports, otelcol=otelcol):
        run = run_program(parent(guest), environment=environment)
        assert wait_until(lambda: [span["name"] for span, _ in spans(data)].count("in the sandbox") == 2)
    assert len({span["traceId"] for span, _ in spans(data)}) == 2
