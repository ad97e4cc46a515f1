"""Health in programs: how it arrives in Prometheus, and what a program does without telemetry."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector._prometheus_page import samples, wait_for_page
from harness import clean_environment, collector_ports, requires_otelcol, run_program
from sandscope._collector import CollectorProcess, Composition

PROGRAM = """if True:
    import json, time, urllib.request
    from sandscope import health

    @health.check("database", critical=True, failures=1)
    def database():
        return health.unhealthy("no answer")

    monitor = health.start(health.disk(warn=100.1, limit=100.1), interval=0.1, port=0)
    while monitor.status != "unhealthy":
        time.sleep(0.01)
    try:
        urllib.request.urlopen(monitor.url + "/health")
    except urllib.error.HTTPError as error:
        print(error.code, json.load(error)["checks"]["database"]["message"])
"""


@pytest.mark.collector
def test_the_status_has_the_name_that_the_documents_query(tmp_path: Path) -> None:
    collector = CollectorProcess(
        Composition.of("prometheus"), data=tmp_path, ports=collector_ports(), otelcol=requires_otelcol()
    )
    with collector:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        done = run_program(PROGRAM, environment=environment)
        assert (done.returncode, done.stdout, done.stderr) == (0, "503 no answer\n", "")
        found = samples(wait_for_page(collector.ports.prometheus, "health_check_status"))
    status = {labels["check_name"]: value for labels, value in found["health_check_status"]}
    assert status["database"] == 0
    assert "disk" in status


@pytest.mark.parametrize("variables", [{"OTEL_SDK_DISABLED": "true"}, {"SANDSCOPE_RECORDER": "direct"}])
def test_health_is_served_whatever_becomes_of_telemetry(variables: dict[str, str]) -> None:
    environment = clean_environment(**variables, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    done = run_program(PROGRAM, environment=environment)
    assert (done.returncode, done.stdout) == (0, "503 no answer\n")


def test_nothing_is_imported_or_started_before_it_is_used() -> None:
    program = """if True:
        import sys, threading, sandscope
        assert "sandscope.health" not in sys.modules
        import sandscope.health
        assert "psutil" not in sys.modules
        assert threading.active_count() == 1
    """
    done = run_program(program, way=[], environment=clean_environment())
    assert (done.returncode, done.stderr) == (0, "")


def test_what_needs_psutil_says_so() -> None:
    program = """if True:
        import sys
        sys.modules["psutil"] = None
        from sandscope import SandscopeError, health
        for make in (health.memory, health.cpu, health.network):
            try:
                make()
            except SandscopeError as error:
                print(error)
        health.disk().run()
    """
    done = run_program(program, way=[], environment=clean_environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("psutil is not installed. Run `pip install 'sandscope[health]'`.") == 3
