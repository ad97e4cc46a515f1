"""Run an unmodified plugin host, and check its telemetry on the metrics page, in Jaeger and in Loki."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from examples.read_back import get, jaeger_trace, loki_records

from harness import PATIENCE, ROOT, STOCK, clean_environment, collector_ports, requires_otelcol, wait_until
from harness._stores import Stores
from harness._toolchains import compiled
from sandscope._collector import CollectorProcess, Composition
from sandscope_collector.stores import GO_ENVIRONMENT, find_go

pytestmark = [pytest.mark.stores, pytest.mark.slow]

PLUGINS = ROOT / "examples" / "plugins"
EXECUTIONS = 7
"""Five calls, and two instantiations that fail."""
TRACE = "0af7651916cd43dd8448eb211c80319c"
PAGE = (ROOT / "docs" / "names-wasm-sandbox.md").read_text()
DOCUMENT = {name for name in re.findall(r"^\| `(wasm_\w+)` \|", PAGE, re.MULTILINE) if "network" not in name}
"""The document's names that have a source in this program: its guest has no network."""


@dataclass(frozen=True)
class Run:
    """One run of the host."""

    output: str
    page: str


@pytest.fixture(scope="module")
def run(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the host with all optional measurements; a Collector sends its telemetry to the stores."""
    folder = tmp_path_factory.mktemp("plugins")
    data = folder / "data"
    data.mkdir()
    (data / "outside").symlink_to("/etc")
    source = PLUGINS / "guest"
    plugin = compiled(
        "plugin.wasm",
        [source / "main.go", source / "go.mod"],
        lambda file: [find_go(source), "build", "-trimpath", "-o", file, "."],
        **(GO_ENVIRONMENT | {"GOOS": "wasip1", "GOARCH": "wasm"}),
    )
    ports = collector_ports(prometheus=stores.scraped)
    composition = Composition.of("prometheus", "names-wasm-sandbox", "jaeger", "loki")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stores.collector.items():
            patch.setenv(name, value)
        with CollectorProcess(
            composition, data=folder / "collector", ports=ports, otelcol=requires_otelcol()
        ) as collector:
            output = _host(plugin, data, collector.endpoint)
            page = f"http://127.0.0.1:{ports.prometheus}/metrics"
            assert wait_until(lambda: "sandbox_executions_total" in get(page))
            return Run(output, get(page))


def _host(plugin: Path, data: Path, endpoint: str) -> str:
    asked = {f"SANDSCOPE_WASMTIME_{name}": "true" for name in ("PROBE", "OUTPUT", "FUEL", "CPU")}
    environment = clean_environment(
        **asked,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_SERVICE_NAME="plugins",
        TRACEPARENT=f"00-{TRACE}-b7ad6b7169203331-01",
    )
    command = [*STOCK, sys.executable, str(PLUGINS / "app.py"), str(plugin), str(data)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=4 * PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_program_says_what_it_says_without_telemetry(run: Run) -> None:
    assert run.output.splitlines() == [
        "plugin: 7000 bytes; open /data/outside/passwd: Operation not permitted",
        "_start ended: Exited with i32 exit status 0",
        "plugin: 7000 bytes; open /data/outside/passwd: Operation not permitted",
        "_start ended: Exited with i32 exit status 0",
        "greeted",
        "run ended: 1: wasm trap: out of bounds memory access",
        "run ended: memory minimum size of 64 pages exceeds memory limits",
        "run ended: wasm trap: all fuel consumed by WebAssembly",
        "run ended: unknown import: `host::secrets` has not been defined",
    ]


def test_the_metrics_page_lists_every_name_of_the_document_that_has_a_source(run: Run) -> None:
    series = {line.split("{")[0].split(" ")[0] for line in run.page.splitlines() if not line.startswith("#")}
    shown = series | {name.removesuffix("_count") for name in series if name.endswith("_count")}
    assert shown >= DOCUMENT, DOCUMENT - shown


def test_jaeger_shows_the_calls_with_their_attributes(run: Run, stores: Stores) -> None:
    assert run.output
    assert wait_until(lambda: len(jaeger_trace(stores.jaeger, TRACE)) == EXECUTIONS)
    spans = jaeger_trace(stores.jaeger, TRACE)
    found = {
        (span.attributes.get("wasm.module"), span.attributes.get("sandbox.verdict.cause")) for span in spans
    }
    assert {
        ("greeter", "normal_exit"),
        ("broken", "sv_memory_bounds"),
        ("endless", "tle_fuel"),
    } <= found
    endless = next(span for span in spans if span.attributes.get("wasm.module") == "endless")
    assert endless.attributes["wasm.fuel.consumed"] == 10_000


def test_loki_has_executions_security_and_resource_records_of_the_same_trace(
    run: Run, stores: Stores
) -> None:
    assert run.output
    query = f'{{service_name="plugins"}} | trace_id="{TRACE}"'
    assert wait_until(lambda: len(loki_records(stores.loki, query)) > EXECUTIONS)
    records = loki_records(stores.loki, query)
    bodies = "\n".join(record.body for record in records)
    for said in ("wasm run: OK", "sv_memory_bounds", "tle_fuel", "/data/outside", "plugin: 7000 bytes"):
        assert said in bodies, bodies
    spans = {span.span_id for span in jaeger_trace(stores.jaeger, TRACE)}
    inside = [record for record in records if "plugin: 7000 bytes" in record.body]
    assert {record.labels["span_id"] for record in inside} <= spans
