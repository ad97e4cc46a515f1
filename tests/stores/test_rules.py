"""The rules on a real Prometheus: they record what a program did, however it arrived, and the alerts fire."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from examples.read_back import prometheus_query

from harness import (
    clean_environment,
    collector_ports,
    free_ports,
    requires_otelcol,
    run_program,
    wait_until,
)
from harness._builds import tell_of_a_build
from harness._dashboards import QUERIES
from harness._stores import CONFIGURATION, hurried_configuration, requires_stores, running
from sandscope._collector import CollectorProcess, Composition
from sandscope_collector.stores import STORES, collector_environment, find_binary

pytestmark = [pytest.mark.stores, pytest.mark.slow]
OF_BUILDS = {"BuildFailureRate", "SecurityVulnerabilityDetected"}
PROGRAM = """if True:
    import subprocess
    for _ in range(8):
        subprocess.run(["true"], check=True)
    for _ in range(2):
        subprocess.run(["false"])
    subprocess.run(["sleep", "1.1"])
"""


@pytest.fixture(scope="module", params=["prometheus", "prometheus-otlp"])
def prometheus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the program once, with rules that are evaluated every second; return the address of Prometheus."""
    requires_stores("prometheus")
    folder = tmp_path_factory.mktemp("rules")
    scraped = free_ports(["collector"])["collector"]
    with (
        running(
            folder / "stores",
            "prometheus",
            scrape=f"127.0.0.1:{scraped}",
            configuration=hurried_configuration(folder / "configuration"),
        ) as stores,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in collector_environment(stores.values()).items():
            environment.setenv(name, value)
        collector = CollectorProcess(
            Composition.of(request.param),
            data=folder / "data",
            ports=collector_ports(prometheus=scraped),
            otelcol=requires_otelcol(),
        )
        with collector:
            variables = clean_environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_SERVICE_NAME="judge"
            )
            done = run_program(PROGRAM, environment=variables)
            assert done.returncode == 0, done.stderr
            tell_of_a_build(folder, collector.endpoint)
            url = stores["prometheus"].url
            wait_until(lambda: firing(url) & {"HighErrorRate"} and recorded(url, "history:executions:rate5m"))
            yield url


def ask(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/v1/{path}", timeout=10) as answer:  # noqa: S310 - http, on loopback
        return json.load(answer)["data"]


def firing(url: str) -> set[str]:
    return {alert["labels"]["alertname"] for alert in ask(url, "alerts")["alerts"]}


def recorded(url: str, expression: str) -> dict[tuple[str, ...], float]:
    """Return the values of an expression for the program, by service, runtime and operation."""
    return {
        tuple(
            sample.labels.get(name, "") for name in ("job", "sandbox_runtime", "sandbox_operation")
        ): sample.value
        for sample in prometheus_query(url, expression)
        if sample.labels.get("job") == "judge"
    }


def test_every_rule_is_evaluated_without_an_error(prometheus: str) -> None:
    groups = ask(prometheus, "rules")["groups"]
    assert len(groups) > 8
    for group in groups:
        for rule in group["rules"]:
            assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]


def test_the_first_execution_of_a_process_counts(prometheus: str) -> None:
    expected = {("judge", "subprocess", "process"): pytest.approx(9 / 11, abs=0.1)}  # extrapolated
    assert wait_until(lambda: recorded(prometheus, "sandbox:success:ratio_rate5m") == expected)


def test_an_execution_above_a_second_is_a_hotspot(prometheus: str) -> None:
    ours = ("judge", "subprocess", "process")
    assert wait_until(lambda: recorded(prometheus, "sandbox:hotspots:increase5m").get(ours, 0) > 0)
    assert wait_until(lambda: recorded(prometheus, "sandbox:duration_seconds:max_rate5m").get(ours) == 2)


def test_every_query_of_the_dashboards_answers(prometheus: str) -> None:
    answers = {
        query: prometheus_query(prometheus, expression.replace("$job", ".*"))
        for query, expression in QUERIES.items()
    }
    assert answers["overview", "Executions", ""][0].value > 0
    without = {panel for (board, panel, _), found in answers.items() if board == "subprocess" and not found}
    rest = {"Cold start", "Backends", "Queues", "Quarantined workers", "Endings that are not known"}
    assert without <= rest


def test_a_build_is_on_its_dashboard(prometheus: str) -> None:
    """Its runs, steps and tests, and among what matters for security its scans."""
    scans = {"Known vulnerabilities", "Packages that were scanned"}
    for (board, panel, legend), expression in QUERIES.items():
        if board == "builds" or panel in scans:
            query = expression.replace("$job", ".*")
            assert wait_until(lambda query=query: prometheus_query(prometheus, query) != []), panel
            assert "{{" in legend
    (failed,) = prometheus_query(
        prometheus, QUERIES["builds", "Failed", "{{cicd_pipeline_name}}"].replace("$job", "ci")
    )
    assert failed.value == 1


def test_only_what_is_wrong_fires(prometheus: str) -> None:
    wrong = {"HighErrorRate", "HighVariance", *OF_BUILDS}
    cold_starts = recorded(prometheus, "sandbox:cold_start_seconds:p95_rate5m")
    if any(seconds > 0.2 for seconds in cold_starts.values()):  # they are slow on a machine that is busy
        wrong |= {"HighLatency", "ErrorBudgetBurn"}
    assert firing(prometheus) - {"Escalation"} <= wrong
    # It repeats another alert after half an hour, which is a second here.
    assert {
        alert["labels"]["unresolved"]
        for alert in ask(prometheus, "alerts")["alerts"]
        if alert["labels"]["alertname"] == "Escalation"
    } <= wrong


def test_a_run_that_failed_and_a_new_vulnerability_are_told(prometheus: str) -> None:
    assert wait_until(lambda: firing(prometheus) >= OF_BUILDS), firing(prometheus)
    (share,) = [
        alert
        for alert in ask(prometheus, "alerts")["alerts"]
        if alert["labels"]["alertname"] == "BuildFailureRate"
    ]
    assert share["labels"]["cicd_pipeline_name"] == "build"
    assert float(share["value"]) == 1


def test_samples_are_kept_as_long_as_the_table_says(prometheus: str) -> None:
    assert ask(prometheus, "status/flags")["storage.tsdb.retention.time"] == "15d"
    services = yaml.safe_load((CONFIGURATION / "compose.yaml").read_text())["services"]
    assert "--storage.tsdb.retention.time=15d" in services["prometheus"]["command"]


def test_a_second_prometheus_keeps_the_aggregates(prometheus: str, tmp_path: Path) -> None:
    folder = hurried_configuration(tmp_path / "configuration") / "prometheus" / "history"
    (folder / "targets.json").write_text(json.dumps([{"targets": [prometheus.removeprefix("http://")]}]))
    binary = find_binary(STORES["prometheus"], CONFIGURATION)
    assert binary is not None
    services = yaml.safe_load((CONFIGURATION / "compose.yaml").read_text())["services"]
    for file, service, days in (("5m.yaml", "history", "90d"), ("1h.yaml", "history-year", "1y")):
        port = free_ports(["history"])["history"]
        options = [each for each in services[service]["command"] if "retention" in each or "lookback" in each]
        command = [binary, f"--config.file={folder / file}", f"--storage.tsdb.path={tmp_path / file}.data"]
        command += options
        url = f"http://127.0.0.1:{port}"
        series = f"history:executions:rate{file.removesuffix('.yaml')}"
        with subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
        ) as history:
            try:
                wait_until(lambda url=url, series=series: reachable(url) and recorded(url, series))
                assert set(recorded(url, series)) == {("judge", "subprocess", "process")}
                assert recorded(url, "sandbox:executions:rate5m") == {}
                assert ask(url, "status/flags")["storage.tsdb.retention.time"] == days
            finally:
                history.terminate()


def reachable(url: str) -> bool:
    try:
        ask(url, "status/runtimeinfo")
    except OSError:
        return False
    return True
