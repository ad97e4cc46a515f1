"""Every metric name of wasm-sandbox's guide that has a source is on the Collector's page, exactly as written there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from collector._prometheus_page import Samples, samples, total, wait_for_page
from harness import ROOT, Contract, clean_environment, collector_ports, run_program, wait_until
from sandscope._collector import CollectorProcess, Composition

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector

PROGRAM = Path(__file__).parent / "programs" / "wasm.py"
SAID = """denied no socket
start UNREACHABLE
not called
run returned
trap MEMORY_OUT_OF_BOUNDS
run OUT_OF_FUEL
trap OUT_OF_FUEL
"""
COUNTERS = {
    f"wasm_{name}_total"
    for name in (
        *("executions", "executions_successful", "executions_failed", "fuel_consumed"),
        *("instance_destruction", "module_cache_hits", "module_cache_misses"),
        *("security_violations", "capability_requests", "resource_limit_exceeded"),
        *("network_requests", "network_bytes_sent", "network_bytes_received", "network_errors"),
        *("file_operations", "file_bytes_read", "file_bytes_written", "file_errors"),
    )
}
GAUGES = {
    f"wasm_{name}"
    for name in (
        *("memory_usage_bytes", "memory_limit_bytes", "cpu_usage_percent"),
        *("active_instances", "module_cache_size"),
    )
}
HISTOGRAMS = {
    "wasm_execution_duration_seconds": (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0),
    "wasm_instance_creation_duration_seconds": (0.001, 0.01, 0.1, 1.0, 5.0),
}
NAMES = COUNTERS | GAUGES | {f"{name}_bucket" for name in HISTOGRAMS}

PAGE = ROOT / "docs" / "names-wasm-sandbox.md"


def test_the_page_names_each_of_them() -> None:
    wanted, _, missing = PAGE.read_text().partition("## Without a source")
    assert set(re.findall(r"^\| `(\w+)` \|", wanted, re.MULTILINE)) == COUNTERS | GAUGES | HISTOGRAMS.keys()
    for row in re.findall(r"^\| (`wasm_[^|]*) \|", missing, re.MULTILINE):
        for name in re.findall(r"`(wasm_\w+)(?:_\*)?`", row):
            assert any(known.startswith(name) for known in NAMES), name


@pytest.fixture(scope="module")
def found(otelcol: Path, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Run the program once in front of a Collector; return what is on the Collector's page."""
    folder = tmp_path_factory.mktemp("names")
    composition = Composition.of("prometheus", "names-wasm-sandbox")
    with CollectorProcess(
        composition, data=folder / "data", ports=collector_ports(), otelcol=otelcol
    ) as collector:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            SANDSCOPE_WASMTIME_FUEL="true",
            SANDSCOPE_WASMTIME_CPU="true",
            SANDSCOPE_WASMTIME_PROBE="true",
        )
        done = run_program(PROGRAM, str(folder), environment=environment)
        assert (done.returncode, done.stdout) == (0, SAID), done.stderr

        def page() -> Samples:
            return samples(wait_for_page(collector.ports.prometheus, "wasm_memory_usage_bytes"))

        # One pipeline is behind the other, and the program's last export behind the one before.
        wait_until(lambda: page().keys() >= NAMES and total(page(), "wasm_active_instances") == 1)
        return page()


def test_every_name_of_the_guide_is_on_the_page(found: Samples) -> None:
    assert NAMES - found.keys() == set()
    for name, boundaries in HISTOGRAMS.items():
        bounds = {float(labels["le"]) for labels, _ in found[f"{name}_bucket"]}
        assert bounds > set(boundaries)

    executions = {"files": 1, "network": 1, "run": 2, "trap": 2, "start": 1}
    assert total(found, "wasm_executions_total") == sum(executions.values())
    assert total(found, "wasm_executions_successful_total") == 3
    assert total(found, "wasm_executions_failed_total") == 4
    assert total(found, "wasm_execution_duration_seconds_count") == sum(executions.values()) + 1
    assert total(found, "wasm_security_violations_total", sandbox_verdict_cause="sv_memory_bounds") == 1
    assert total(found, "wasm_security_violations_total", sandbox_verdict_cause="sv_path_denied") == 1
    assert total(found, "wasm_resource_limit_exceeded_total") == 2
    assert {labels["sandbox_limit"] for labels, _ in found["wasm_resource_limit_exceeded_total"]} == {"fuel"}
    assert total(found, "wasm_fuel_consumed_total") > 500
    assert total(found, "wasm_instance_creation_duration_seconds_count") == 4
    assert total(found, "wasm_active_instances") + total(found, "wasm_instance_destruction_total") == 4
    assert total(found, "wasm_active_instances") == 1
    assert total(found, "wasm_memory_usage_bytes") == 65536
    assert total(found, "wasm_memory_limit_bytes") == 2 * 65536
    assert total(found, "wasm_module_cache_misses_total") == total(found, "wasm_module_cache_hits_total") == 1
    assert total(found, "wasm_module_cache_size") == 1
    assert total(found, "wasm_cpu_usage_percent") > 0
    asked = {
        (labels["sandbox_capability"], labels["sandbox_capability_granted"])
        for labels, _ in found["wasm_capability_requests_total"]
    }
    assert asked == {
        ("filesystem", "true"),
        ("stdio", "false"),
        ("network", "false"),
        ("host", "true"),
    }
    assert total(found, "wasm_file_operations_total") == 4
    assert total(found, "wasm_file_bytes_written_total") == 5
    assert total(found, "wasm_network_errors_total") == 1


def test_the_originals_are_beside_the_copies(found: Samples) -> None:
    for original, copy in [
        ("sandbox_execution_duration_seconds_count", "wasm_execution_duration_seconds_count"),
        ("sandbox_security_violations_total", "wasm_security_violations_total"),
    ]:
        assert total(found, original, sandbox_runtime="wasmtime") == total(found, copy)
    not_called = total(found, "sandbox_executions_total", sandbox_verdict_cause="ie_invalid_call")
    of_guests = total(found, "sandbox_executions_total", sandbox_runtime="wasmtime") - not_called
    assert (not_called, of_guests) == (1, total(found, "wasm_executions_total"))


def test_without_the_other_overlay_only_the_copies_are_there(start: Start, tmp_path: Path) -> None:
    collector = start("names-wasm-sandbox", "local")
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    assert run_program(PROGRAM, str(tmp_path), environment=environment).returncode == 0
    copies = samples(wait_for_page(collector.ports.prometheus, "wasm_executions_total"))
    assert {name for name in copies if name.startswith("sandbox_")} == set()
    assert total(copies, "wasm_executions_total") == 7


def test_every_metric_that_is_declared_for_wasmtime_was_seen(found: Samples) -> None:
    seen = {re.sub(r"_(?:total|bucket|count|sum|created)$", "", name) for name in found}
    declared = Contract(ROOT / "instrumentations" / "wasmtime" / "telemetry.yaml").metrics
    units = {"s": "_seconds", "By": "_bytes", "%": "_percent"}
    missing = [
        name
        for name, metric in declared.items()
        if name.startswith("wasm.") and name.replace(".", "_") + units.get(metric["unit"], "") not in seen
    ]
    assert missing == []
