"""The queries of the runbooks on real stores: each is understood, and finds what the alert is about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.read_back import loki_records, prometheus_query

from harness import ROOT, clean_environment, collector_ports, requires_otelcol, run_program, wait_until
from harness._builds import tell_of_a_build
from harness._runbooks import LOGQL, PROMQL, SECTIONS
from harness._stores import Stores
from sandscope._collector import CollectorProcess, Composition

pytestmark = [pytest.mark.stores, pytest.mark.slow]
PROGRAMS = ROOT / "tests" / "collector" / "programs"
CHILDREN = {
    "SANDSCOPE_SUBPROCESS_CONTROLS": "no_new_privs",
    "SANDSCOPE_SUBPROCESS_ABUSE_PROCESSES": "4",
}
WRONG = """if True:
    import subprocess, time
    import sandscope
    from sandscope import health
    subprocess.run(["sh", "-c", "sleep 9 >/dev/null 2>&1 & exit 0"], start_new_session=True)  # leaves a process
    sandscope.security_event("injection_attempt")

    @health.check("CHECK", failures=1)
    def check():
        return health.unhealthy("it does not answer")
    monitor = health.start(interval=0.1)
    while monitor.status == "unknown":
        time.sleep(0.01)
"""
FOUND = {
    *("InfrastructureErrorRate", "CleanupFailureRate", "AbusePatternDetected", "SecurityViolations"),
    *(
        "BuildFailureRate",
        "SecurityEvents",
        "ControlDegradation",
        "SecurityVulnerabilityDetected",
        "HealthCheckFailing",
    ),
}
"""Alerts whose records these programs cause. SuspiciousModel needs torch."""


@pytest.fixture(scope="module")
def loki(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run programs in which things go wrong; return the address of Loki."""
    folder = tmp_path_factory.mktemp("runbooks")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in stores.collector.items():
            environment.setenv(name, value)
        collector = CollectorProcess(
            Composition.of("prometheus", "loki"),
            data=folder / "data",
            ports=collector_ports(prometheus=stores.scraped),
            otelcol=requires_otelcol(),
        )
        with collector:
            programs: list[tuple[Path | str, tuple[str, ...], dict[str, str]]] = [
                (PROGRAMS / "wasm.py", (str(folder),), {"SANDSCOPE_WASMTIME_PROBE": "true"}),
                (PROGRAMS / "children.py", (), CHILDREN),
                (WRONG, (), {}),
            ]
            for program, arguments, settings in programs:
                variables = clean_environment(
                    OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_SERVICE_NAME="JOB", **settings
                )
                done = run_program(program, *arguments, environment=variables, timeout=600)
                assert done.returncode == 0, done.stderr
            tell_of_a_build(folder, collector.endpoint)
        yield stores.loki


@pytest.mark.parametrize(("alert", "query"), PROMQL)
def test_prometheus_understands_a_query(stores: Stores, alert: str, query: str) -> None:
    assert alert in SECTIONS
    prometheus_query(stores.prometheus, query)


@pytest.mark.parametrize(("alert", "query"), LOGQL)
def test_loki_finds_what_the_alert_is_about(loki: str, alert: str, query: str) -> None:
    if alert not in FOUND:
        assert loki_records(loki, query) == []
        return
    assert wait_until(lambda: loki_records(loki, query))
    (label,) = set(re.findall(r"[|] (\w+)[=!]", query)[-1:])
    assert any(label in record.labels for record in loki_records(loki, query))
    assert len(loki_records(loki, query)) < len(loki_records(loki, '{service_name=~".+"}'))
