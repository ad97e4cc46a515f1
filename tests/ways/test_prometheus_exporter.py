"""``OTEL_METRICS_EXPORTER=prometheus``: the program serves its own metrics."""

from __future__ import annotations

import socket

from harness import clean_environment, run_program

PROGRAM = """
import os, subprocess, sys, urllib.request
subprocess.run(["true"])
url = f"http://127.0.0.1:{os.environ['OTEL_EXPORTER_PROMETHEUS_PORT']}/metrics"
print(urllib.request.urlopen(url).read().decode())
subprocess.run([sys.executable, "-c", "print('child ran')"], check=True)
"""


def _environment() -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    return clean_environment(
        OTEL_TRACES_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_METRICS_EXPORTER="prometheus",
        OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
        OTEL_EXPORTER_PROMETHEUS_PORT=port,
    )


def test_metrics_are_served_with_their_prometheus_names() -> None:
    run = run_program(PROGRAM, environment=_environment())
    assert run.returncode == 0
    assert "sandbox_executions_total{" in run.stdout
    assert "sandbox_execution_duration_seconds_bucket{" in run.stdout
    assert "sandbox_execution_active{" in run.stdout


def test_a_child_with_the_same_port_runs_and_reports_why_it_serves_no_metrics() -> None:
    run = run_program(PROGRAM, environment=_environment())
    assert "child ran" in run.stdout
    assert run.stderr.count("Cannot serve metrics on 127.0.0.1:") == 1
    assert "Set OTEL_EXPORTER_PROMETHEUS_PORT" in run.stderr
    assert "Traceback" not in run.stderr
