"""The names of kotoba-monitoring's and wasm-torch's documents that have a source are on the Collector's page."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from collector._prometheus_page import samples, total, wait_for_page
from harness import BIN, ROOT, clean_environment, run_program, wait_until
from harness._rules import OF_MACHINE
from sandscope._collector import CollectorProcess

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector

HEALTH = """if True:
    import time
    from sandscope import health
    monitor = health.start(health.cpu(), health.memory(), health.disk(), interval=0.1)
    while "unknown" in {check["latest"] for check in monitor.report()["checks"].values()}:
        time.sleep(0.01)
    time.sleep(0.3)
"""
SYSTEM = "import subprocess; subprocess.run(['true'], check=True)"
# The overlay looks at runtime and operation only, so torch itself is not needed.
MODELS = """if True:
    from opentelemetry import metrics
    import sandscope
    usage = metrics.get_meter("test").create_up_down_counter("torch.memory.usage", "By")
    usage.add(7, {"torch.memory.device": "cpu", "torch.memory.kind": "resident"})
    usage.add(5, {"torch.memory.device": "cuda:0", "torch.memory.kind": "allocated"})
    for operation in ("load", "inference", "inference", "training"):
        with sandscope.execution("torch", operation) as execution:
            name = "torch.model.file" if operation == "load" else "torch.module"
            execution.set_attributes({name: "Net"})
    with sandscope.execution("other", "load"):
        pass
"""


def row(page: str) -> set[str]:
    text = (ROOT / "docs" / page).read_text().partition("\n\n| the document")[0]
    return set(re.findall(r"^\| `(\w+)(?:\{\w+\})?` \|", text, re.MULTILINE))


def test_the_names_of_kotoba(start: Start) -> None:
    collector = start("prometheus", "names-kotoba")
    done = run_program(HEALTH, environment=clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint))
    assert (done.returncode, done.stderr) == (0, "")
    wait_for_page(collector.ports.prometheus, "system_disk_usage_percent{")
    found = samples(wait_for_page(collector.ports.prometheus, "system_cpu_usage_percent{"))
    names = row("names-kotoba.md")
    assert len(names) == 6
    assert names <= set(found)
    for name in names - {"health_check_status"}:
        ((labels, value),) = found[name]
        assert 0 <= value <= 100 if name.endswith("percent") else value > 1_000_000
        assert "check_name" not in labels


@pytest.mark.parametrize("overlays", [["names-kotoba"], ["prometheus", "names-kotoba"]])
def test_the_names_of_kotoba_without_health_checks(start: Start, overlays: list[str]) -> None:
    collector = start("local", *overlays)
    environment = clean_environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, SANDSCOPE_SYSTEM_METRICS="true"
    )
    assert run_program(SYSTEM, environment=environment).returncode == 0
    wait_for_page(collector.ports.prometheus, "system_memory_usage_bytes{")
    wait_for_page(collector.ports.prometheus, "system_memory_usage_percent{")
    found = samples(wait_for_page(collector.ports.prometheus, "system_cpu_usage_percent{"))
    for name in ("system_cpu_usage_percent", "system_memory_usage_percent"):
        ((_, value),) = found[name]
        assert 0 <= value <= 100  # the processors' since the export before, which may have been a moment ago
    used = [value for labels, value in found["system_memory_usage_bytes"] if labels["state"] == "used"]
    assert len(used) == 1
    assert used[0] > 1_000_000
    assert (set(found) >= OF_MACHINE) == ("prometheus" in overlays)  # what dashboards read


def test_the_names_of_wasm_torch(start: Start) -> None:
    collector = start("prometheus", "names-wasm-torch")
    environment = clean_environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        SANDSCOPE_METRIC_ATTRIBUTES="torch.module,torch.model.file",
    )
    done = run_program(MODELS, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    found = samples(wait_for_page(collector.ports.prometheus, "wasm_torch_inference_duration_seconds_count"))
    load, inference = "wasm_torch_model_load_duration_seconds", "wasm_torch_inference_duration_seconds"
    memory = "wasm_torch_memory_usage_bytes"
    failed = "github_actions_workflow_runs_failed_total"
    of_browsers = {"inference_duration_seconds", "wasm_compilation_time_seconds"}  # see tests/browser
    assert {load, inference, memory, failed, *of_browsers} == row("names-wasm-torch.md")
    assert total(found, memory) == 7
    assert total(found, f"{load}_count") == 1
    assert total(found, f"{inference}_count") == 2
    assert {labels["sandbox_runtime"] for labels, _ in found[f"{load}_count"]} == {"torch"}
    for name in (load, inference):
        assert {labels["model"] for labels, _ in found[f"{name}_count"]} == {"Net"}
    assert total(found, "sandbox_execution_duration_seconds_count") == 5


def test_the_runs_of_workflows_that_failed(start: Start) -> None:
    collector = start("prometheus", "names-wasm-torch")
    for result in ("success", "failure", "timeout", "cancellation"):
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            OTEL_RESOURCE_ATTRIBUTES=f"cicd.pipeline.name=build,cicd.pipeline.run.id={result}",
        )
        words = ["ci", "end", "--result", result, "--started", "1790000000"]
        subprocess.run([BIN / "sandscope", *words], env=environment, check=True)
    found: dict[str, list[tuple[dict[str, str], float]]] = {}

    def both() -> bool:
        name = "github_actions_workflow_runs_failed_total"
        found.update(samples(wait_for_page(collector.ports.prometheus, name)))
        return len(found.get(name, [])) == 2

    assert wait_until(both), found
    failed = found["github_actions_workflow_runs_failed_total"]
    assert {labels["conclusion"] for labels, _ in failed} == {"failure", "timeout"}
    assert {labels["workflow_name"] for labels, _ in failed} == {"build"}
    assert {value for _, value in failed} == {1}
    assert wait_until(
        lambda: (
            total(
                samples(wait_for_page(collector.ports.prometheus, "cicd_")),
                "cicd_pipeline_run_duration_seconds_count",
            )
            == 4
        )
    )
    assert "github_actions_workflow_runs_seconds_count" not in found
