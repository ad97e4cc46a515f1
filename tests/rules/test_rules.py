"""The rules of Prometheus are valid, tested, documented, and use only metrics and labels that are declared."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import ROOT, lacking
from harness._promql import labels_of, metrics_of
from harness._rules import ALERTS, FILES, FOLDER, RULES, TESTS, declared_labels, declared_series
from harness._stores import CONFIGURATION
from sandscope_collector.stores import STORES, find_binary

RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()
each_alert = pytest.mark.parametrize(
    "rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}"
)


def promtool() -> Path:
    prometheus = find_binary(STORES["prometheus"], CONFIGURATION)
    if prometheus is None:
        lacking("promtool is not installed: `make stores`")
    return prometheus.parent / "promtool"


def run(*words: str | Path) -> str:
    done = subprocess.run([promtool(), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_file_of_rules_has_its_tests() -> None:
    assert [file.name for file in FILES] == [file.name for file in TESTS]


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_the_unit_tests_of_the_rules_pass(file: Path) -> None:
    assert "SUCCESS" in run("test", "rules", file)


def test_the_configurations_are_valid() -> None:
    run("check", "config", FOLDER / "prometheus.yaml")
    for file in ("5m.yaml", "1h.yaml"):
        run("check", "config", FOLDER / "history" / file)


def expectations() -> list[dict[str, Any]]:
    """Return what the unit tests expect of alerts, at one time each."""
    files = [yaml.safe_load(file.read_text()) for file in TESTS]
    return [each for file in files for test in file["tests"] for each in test.get("alert_rule_test", ())]


@each_alert
def test_each_alert_is_seen_silent_and_then_firing(rule: dict[str, Any]) -> None:
    of_this = [each for each in expectations() if each["alertname"] == rule["alert"]]
    assert [] in [each["exp_alerts"] for each in of_this]
    firing = [alert for each in of_this for alert in each["exp_alerts"]]
    assert rule["labels"]["severity"] in {alert["exp_labels"]["severity"] for alert in firing}
    for alert in firing:
        assert set(alert["exp_annotations"]) == {"summary", "runbook_url"}


@each_alert
def test_each_alert_has_a_severity_a_summary_and_a_section_in_the_runbooks(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    (section,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL)
    assert "**Means**" in section
    assert "**Ask**" in section
    assert "**Do**" in section


def test_the_runbooks_are_about_alerts_that_exist() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)) == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("expression", sorted({rule["expr"] for rule in RULES}))
def test_a_rule_uses_declared_metrics_and_labels(expression: str) -> None:
    assert metrics_of(expression) <= declared_series()
    assert labels_of(expression) <= declared_labels()


def test_the_queries_of_the_runbooks_use_declared_metrics_and_labels() -> None:
    queries = re.findall(r"^    (.+)$", RUNBOOKS, re.MULTILINE)
    promql = [query for query in queries if not query.startswith(("{", "sandscope ", "curl ", "amtool "))]
    assert len(promql) >= len({rule["alert"] for rule in ALERTS}) - 3
    for query in promql:
        assert metrics_of(query) <= declared_series(), query
        assert labels_of(query) <= declared_labels(), query


def test_what_an_undeclared_name_looks_like() -> None:
    assert metrics_of(
        'sum by (job) (rate(sandbox_gone_total{a="x_y"}[5m] offset 1h)) / on (b) c:d > 1e3'
    ) == {
        "sandbox_gone_total",
        "c:d",
    }
    assert labels_of('sum by (job) (rate(x{a="x_y", b!~"1"}[5m])) / on (c) group_left () d') == set("abc") | {
        "job"
    }
