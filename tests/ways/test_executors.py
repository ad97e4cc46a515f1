"""The workers and the queue of a ProcessPoolExecutor are reported if executions run in its workers, and only then."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from harness import OtlpSink, clean_environment, run_program

PROGRAM = """
import sandscope.auto
import multiprocessing, os, subprocess, sys, time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
def judge(_=None):
    subprocess.run(["sleep", "0.2"], check=True)
def compute(_=None):
    return sum(range(1000))
def reported(pool):
    from sandscope._recording import _executors
    for _ in range(600):
        if pool in _executors._process_pools:
            return time.sleep(1)
        time.sleep(0.1)
if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[1])) as pool:
        if sys.argv[2] == "compute":
            list(pool.map(compute, range(20)))
            time.sleep(1)
            print("opentelemetry" in sys.modules)
            sys.exit()
        list(pool.map(judge, range(4)))
        reported(pool)
        if sys.argv[2] == "queue":
            list(pool.map(judge, range(20)))
        else:
            try:
                pool.submit(os._exit, 1).result()
            except BrokenProcessPool:
                time.sleep(2)
"""
QUEUED, WORKERS = "sandbox.execution.queued", "sandbox.workers"


def run(folder: Path, method: str, what: str) -> tuple[str, list[tuple[str, dict[str, str], int]]]:
    """Run the program; return its output, and the points of both metrics."""
    path = folder / "judge.py"
    path.write_text(PROGRAM)
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            OTEL_METRIC_EXPORT_INTERVAL="300",
            PYTHONWARNINGS="ignore::DeprecationWarning",
        )
        result = run_program(path, method, what, way=(), environment=environment)
        assert result.returncode == 0, result.stderr
        found = [metric for metric in sink.metrics if metric.name in {QUEUED, WORKERS}]
    points = [
        (metric.name, _attributes(point), point.as_int)
        for metric in found
        for point in metric.sum.data_points
    ]
    return result.stdout.strip(), points


def _attributes(point: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in point.attributes}


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers_and_queue_of_a_pool_in_which_children_start(tmp_path: Path, method: str) -> None:
    _, points = run(tmp_path, method, "queue")
    healthy = [value for _, attributes, value in points if attributes == {"sandbox.worker.state": "healthy"}]
    lengths = [value for _, attributes, value in points if attributes == {"sandbox.queue": "process_pool"}]
    assert max(healthy) == 2
    assert 0 < max(lengths) < 38
    assert len(points) == len(healthy) + len(lengths)


def test_a_broken_pool(tmp_path: Path) -> None:
    _, points = run(tmp_path, "fork", "broken")
    unhealthy = [
        value for _, attributes, value in points if attributes == {"sandbox.worker.state": "unhealthy"}
    ]
    assert unhealthy
    assert set(unhealthy) == {2}


def test_a_pool_that_only_computes(tmp_path: Path) -> None:
    output, points = run(tmp_path, "fork", "compute")
    assert points == []
    assert output == "False"
