"""The wasmtime README's "Why was my guest killed?": its program, and its query in each place where one may look."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from examples.read_back import get, loki_records, prometheus_exemplars, prometheus_query

from harness import ROOT, clean_environment, collector_ports, run_program, wait_until
from harness._requires import requires_otelcol
from harness._stores import Stores
from sandscope._collector import CollectorProcess, Composition

pytestmark = pytest.mark.stores
SERVICE = "killed"
SECTION = (
    (ROOT / "instrumentations" / "wasmtime" / "README.md")
    .read_text()
    .partition("## Why was my guest killed?")[2]
    .partition("\n## ")[0]
)
PLACES = {
    place: [query.replace("\\|", "|") for query in re.findall(r"`([^`]+)`", row)]
    for place, row in re.findall(
        r"^\| (Jaeger|Loki|Prometheus|terminal|`sandscope-data/`) \| (.*) \|$", SECTION, re.MULTILINE
    )
}
"""What is written as code in the row of each place: the queries first."""
FAILED = {"endless", "crash", "deep", "stillborn", "greedy", "curious"}


@pytest.fixture(scope="module")
def data(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run the program of the README, with a Collector that sends to all places; return its folder of files."""
    folder = tmp_path_factory.mktemp("why")
    (program,) = re.findall(r"^```python\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    (folder / "killed.py").write_text(program)
    collector = CollectorProcess(
        Composition.of("local", "prometheus", "jaeger", "loki"),
        data=folder / "sandscope-data",
        ports=collector_ports(prometheus=stores.scraped),
        otelcol=requires_otelcol(),
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stores.collector.items():
            patch.setenv(name, value)
        with collector:
            environment = clean_environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_SERVICE_NAME=SERVICE
            )
            assert run_program(folder / "killed.py", environment=environment).returncode == 0
            wait_until(lambda: len(prometheus_query(stores.prometheus, PLACES["Prometheus"][0])) >= 6)
            yield folder


def jaeger_spans(stores: Stores, **tags: str) -> list[dict[str, Any]]:
    """Return the spans of traces with these tags, as the web page of Jaeger asks for them."""
    now = time.time_ns() // 1000
    window = {"start": now - 3600 * 10**6, "end": now, "limit": 100}
    wanted = urlencode({"service": SERVICE, "tags": json.dumps(tags), **window})
    return [
        span
        for trace in json.loads(get(f"{stores.jaeger}/api/traces?{wanted}"))["data"]
        for span in trace["spans"]
    ]


def tags_of(holder: dict[str, Any], key: str = "tags") -> dict[str, Any]:
    """Return tags of Jaeger's JSON, or the fields of a span's event."""
    return {tag["key"]: tag["value"] for tag in holder[key]}


@pytest.mark.usefixtures("data")
def test_jaeger(stores: Stores) -> None:
    for query in PLACES["Jaeger"][:2]:
        name, _, value = query.partition("=")
        (span,) = jaeger_spans(stores, **{name: value})
        tags = tags_of(span)
        assert (tags["wasm.module"], tags["sandbox.verdict.cause"]) == ("endless", "tle_fuel")
    assert tags["otel.status_description"] == "all fuel consumed by WebAssembly"
    events = {fields["event"]: fields for fields in (tags_of(log, "fields") for log in span["logs"])}
    assert "endless!spin" in events["exception"]["exception.stacktrace"]
    assert int(events["sandbox.resource"]["sandbox.resource.limit"]) == 100_000


@pytest.mark.usefixtures("data")
def test_loki(stores: Stores) -> None:
    found = [
        each
        for each in loki_records(stores.loki, PLACES["Loki"][0])
        if each.labels["service_name"] == SERVICE
    ]
    executions = {each.labels["wasm_module"]: each for each in found if "sandbox_duration" in each.labels}
    assert set(executions) == FAILED
    late = executions["endless"]
    assert late.body == PLACES["Loki"][1] == "wasm run: TLE (tle_fuel)"
    assert {"exception_message", "exception_stacktrace", "trace_id"} <= late.labels.keys()


@pytest.mark.usefixtures("data")
def test_prometheus(stores: Stores) -> None:
    failed, limits, violations, duration = PLACES["Prometheus"][:4]
    causes = {
        sample.labels["sandbox_verdict_cause"] for sample in prometheus_query(stores.prometheus, failed)
    }
    assert {"tle_fuel", "re_unreachable", "mle_stack", "mle_store_limit", "sv_unknown_import"} <= causes
    reached = {sample.labels["sandbox_limit"] for sample in prometheus_query(stores.prometheus, limits)}
    assert {"fuel", "stack", "memory"} <= reached
    refused = prometheus_query(stores.prometheus, violations)
    assert "sv_unknown_import" in {sample.labels["sandbox_verdict_cause"] for sample in refused}
    assert any(
        "trace_id" in each.labels for each in prometheus_exemplars(stores.prometheus, f"{duration}_bucket")
    )


def test_files(data: Path) -> None:
    command = PLACES["`sandscope-data/`"][0]
    found = subprocess.run(command, shell=True, cwd=data, capture_output=True, text=True, check=True).stdout  # noqa: S602 -- as the page says
    kinds = {next(iter(json.loads(line))) for line in found.splitlines()}
    assert kinds == {"resourceSpans", "resourceMetrics", "resourceLogs"}


def test_terminal(data: Path) -> None:
    report, trace, line = PLACES["terminal"]

    def shown(command: str) -> str:
        arguments = [sys.executable, "-m", "sandscope", *command.split()[1:]]
        return subprocess.run(arguments, cwd=data, capture_output=True, text=True, check=True).stdout

    traces = re.findall(r"time limit exceeded \(fuel limit\).* ([0-9a-f]{32})$", shown(report), re.MULTILINE)
    name, _, verdict = line.split("  ")
    found = shown(trace.replace("ID", traces[0]))
    assert found.startswith(f"{name}  ")
    assert found.rstrip().endswith(f"  {verdict}  {SERVICE}")
