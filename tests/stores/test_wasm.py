"""An unmodified program that uses wasmtime: its metrics, spans and log records in the stores share traces."""

from __future__ import annotations

import re

import pytest
from examples.read_back import jaeger_trace, loki_records, prometheus_query

from harness import ROOT, clean_environment, collector_ports, run_program, wait_until
from harness._requires import requires_otelcol
from harness._stores import Stores
from sandscope._collector import CollectorProcess, Composition

pytestmark = pytest.mark.stores
PROGRAM = ROOT / "tests" / "collector" / "programs" / "wasm.py"
NAMES = set(
    re.findall(r"^\| `(wasm_\w+)` \|", (ROOT / "docs" / "names-wasm-sandbox.md").read_text(), re.MULTILINE)
)
SETTINGS = {f"SANDSCOPE_WASMTIME_{name}": "true" for name in ("FUEL", "CPU", "PROBE")}


@pytest.fixture(scope="module")
def ran(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Run the program once, with a Collector that sends to all stores."""
    folder = tmp_path_factory.mktemp("wasm")
    collector = CollectorProcess(
        Composition.of("prometheus", "names-wasm-sandbox", "jaeger", "loki"),
        data=folder / "data",
        ports=collector_ports(prometheus=stores.scraped),
        otelcol=requires_otelcol(),
    )
    with pytest.MonkeyPatch.context() as environment:
        for name, value in stores.collector.items():
            environment.setenv(name, value)
        with collector:
            variables = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **SETTINGS)
            done = run_program(PROGRAM, str(folder), environment=variables)
            assert done.returncode == 0, done.stderr
            wait_until(lambda: not NAMES - _known(stores))  # until Prometheus has scraped it


@pytest.mark.usefixtures("ran")
def test_prometheus_answers_to_every_name_of_the_document(stores: Stores) -> None:
    assert NAMES - _known(stores) == set()


@pytest.mark.usefixtures("ran")
def test_executions_refusals_and_limits_share_their_spans_traces(stores: Stores) -> None:
    records = loki_records(stores.loki, '{service_name="wasm"}')
    by_kind = {
        "execution": [record for record in records if "sandbox_duration" in record.labels],
        "security": [record for record in records if "sandbox_violation_type" in record.labels],
        "resource": [record for record in records if record.body.endswith("tle_fuel")],
    }
    assert len(by_kind["execution"]) == 8
    assert sorted(record.labels["sandbox_violation_type"] for record in by_kind["security"]) == [
        "sv_memory_bounds",
        "sv_path_denied",
    ]
    assert {record.labels["sandbox_resource_limit"] for record in by_kind["resource"]} == {"500"}
    denied = next(r for r in by_kind["security"] if r.labels["sandbox_violation_type"] == "sv_path_denied")
    assert denied.labels["sandbox_violation_resource"] == "../secret"
    spans = {
        (span.trace_id, span.span_id): span
        for trace in {record.labels["trace_id"] for record in records}
        for span in jaeger_trace(stores.jaeger, trace)
    }
    for record in records:
        span = spans[record.labels["trace_id"], record.labels["span_id"]]
        assert span.attributes["sandbox.runtime"] == "wasmtime"
        assert span.name.startswith("wasm ")


@pytest.mark.usefixtures("ran")
def test_spans_say_what_a_call_used(stores: Stores) -> None:
    (run, _) = [
        record
        for record in loki_records(stores.loki, '{service_name="wasm"}')
        if record.labels.get("wasm_function") == "run" and "sandbox_duration" in record.labels
    ]
    (span,) = jaeger_trace(stores.jaeger, run.labels["trace_id"])
    assert span.attributes["wasm.module"] == "work"
    assert span.attributes["wasm.memory.peak"] == 65536
    assert span.attributes["wasm.fuel.consumed"] > 1000
    assert span.attributes["wasm.cpu.time"] > 0
    assert span.attributes["wasm.sandbox.id"] > 0


def _known(stores: Stores) -> set[str]:
    """Return the document's names that Prometheus has a series for."""
    suffixes = {name: f"{name}_count" if name.endswith("_seconds") else name for name in NAMES}
    found = prometheus_query(stores.prometheus, '{__name__=~"wasm_.+"}')
    there = {sample.labels["__name__"] for sample in found}
    return {name for name, series in suffixes.items() if series in there}
