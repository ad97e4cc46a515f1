"""Every metric name of Rustbox's document that has a source is on the Collector's page, exactly as written there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collector._prometheus_page import Samples, samples, wait_for_page
from harness import PATIENCE, ROOT, clean_environment, lacking, run_program
from sandscope._collector import CollectorProcess

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector

PAGE = ROOT / "docs" / "names-rustbox.md"
PROGRAM = Path(__file__).parent / "programs" / "children.py"
CONFINED = Path(__file__).parent / "programs" / "confined.py"
DURATION = "rustbox_execution_duration_seconds"
COLD_START = "rustbox_cold_start_latency_seconds"
CLEANUP_DURATION = "rustbox_cleanup_duration_seconds"
EXPECTED = {
    "rustbox_executions_total": {(): 8.0},
    "rustbox_executions_by_status": {
        ("OK",): 1.0,
        ("RE",): 1.0,
        ("TLE",): 2.0,
        ("SIG",): 1.0,
        ("IE",): 1.0,
        ("MLE",): 1.0,
        ("ABUSE",): 1.0,
    },
    "rustbox_verdict_actor": {("judge",): 2.0, ("kernel",): 1.0, ("runtime",): 4.0, ("unknown",): 1.0},
    "rustbox_verdict_cause": {
        ("normal_exit",): 1.0,
        ("re_nonzero_exit",): 1.0,
        ("tle_wall_judge",): 1.0,
        ("tle_cpu_kernel",): 1.0,
        ("sig_unattributed",): 1.0,
        ("ie_supervisor_failure",): 1.0,
        ("mle_store_limit",): 1.0,
        ("abuse_fork_bomb",): 1.0,
    },
    "rustbox_limit_violations": {("wall",): 1.0, ("cpu",): 1.0, ("memory",): 1.0},
    "rustbox_active_executions": {(): 0.0},
    f"{DURATION}_count": {(): 8.0},
    "rustbox_cleanup_total": {("success",): 6.0},
    f"{CLEANUP_DURATION}_count": {(): 6.0},
    "rustbox_control_degraded": {("namespace",): 6.0, ("no_new_privs",): 6.0},
    "rustbox_abuse_pattern": {("fork_bomb",): 1.0},
    "rustbox_backend_pidfd": {("native",): 6.0},
    f"{COLD_START}_count": {(): 6.0},
    "rustbox_queued_executions": {(): 3.0},
    "rustbox_worker_health": {("healthy",): 1.0, ("unhealthy",): 0.0, ("quarantined",): 1.0},
}
LABELS = {
    "rustbox_executions_by_status": ["status"],
    "rustbox_verdict_actor": ["actor"],
    "rustbox_verdict_cause": ["cause"],
    "rustbox_limit_violations": ["resource"],
    "rustbox_cleanup_total": ["outcome"],
    "rustbox_control_degraded": ["control"],
    "rustbox_abuse_pattern": ["pattern"],
    "rustbox_backend_cgroup": ["version"],
    "rustbox_backend_pidfd": ["mode"],
    "rustbox_worker_health": ["status"],
}
BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SETTINGS = {
    "SANDSCOPE_SUBPROCESS_CONTROLS": "namespace,no_new_privs",
    "SANDSCOPE_SUBPROCESS_ABUSE_PROCESSES": "4",
}
ADDED = {"job", "instance", "otel_scope_name", "otel_scope_version", "otel_scope_schema_url"}
"""Labels that the Collector adds to everything on the page: which program and which instrumentation."""


def values(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric, by the values of the document's labels; it must have no others."""
    by_label: dict[tuple[str, ...], float] = {}
    for labels, value in found.get(name, []):
        own = {label: text for label, text in labels.items() if label not in ADDED}
        assert list(own) == LABELS.get(name, [])
        by_label[tuple(own.values())] = by_label.get(tuple(own.values()), 0.0) + value
    return by_label


def run(start: Start, program: Path | str, *overlays: str) -> Samples:
    """Run a program in front of a Collector; return its page once everything is there."""
    collector = start("local", *overlays)
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **SETTINGS)
    done = run_program(program, environment=environment, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found: Samples = {}
    deadline = time.monotonic() + PATIENCE
    while values(found, "rustbox_active_executions") != {(): 0.0} and time.monotonic() < deadline:
        found = samples(wait_for_page(collector.ports.prometheus, "rustbox_active_executions"))
    return found


def test_the_names_the_labels_and_the_actors_are_those_of_the_document(start: Start) -> None:
    found = run(start, PROGRAM, "prometheus", "names-rustbox")
    assert {name: values(found, name) for name in EXPECTED} == EXPECTED
    for histogram in (DURATION, CLEANUP_DURATION, COLD_START):
        assert {float(labels["le"]) for labels, _ in found[f"{histogram}_bucket"]} > set(BUCKETS)
    assert sum(value for _, value in found["sandbox_executions_total"]) == 8


def test_the_version_of_a_cgroup_that_confines_a_child(start: Start) -> None:
    found = run(start, CONFINED, "names-rustbox")
    ((version,), count) = next(iter(values(found, "rustbox_backend_cgroup").items()), ((None,), 0.0))
    if version is None:
        lacking("no cgroup can be made here: run as root, or delegate one")
    assert version in {"v1", "v2"}
    assert count == 1
    assert values(found, "rustbox_executions_total") == {(): 2.0}, "the other one is in the program's cgroup"


def test_without_overlay_prometheus_only_the_copies_are_there(start: Start) -> None:
    found = run(start, "import subprocess; subprocess.run(['true'], check=True)", "names-rustbox")
    assert {name for name in found if name.startswith("sandbox_")} == set()
    assert values(found, "rustbox_executions_total") == {(): 1.0}


def test_the_documentation_names_each_metric_of_the_document() -> None:
    row = re.compile(r"`(rustbox_\w+)(?:\{\w+\})?` \|", re.MULTILINE)
    assert set(row.findall(PAGE.read_text())) == {
        *LABELS,
        *(name.removesuffix("_count") for name in EXPECTED),
    }
