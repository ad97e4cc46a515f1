"""The rules of Prometheus are valid, tested, documented, and use only metrics and labels that are declared."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import ROOT, Contract, lacking
from harness._promql import labels_of, metrics_of
from harness._rules import ALERTS, FILES, FOLDER, RULES, TESTS, declared_labels, declared_series
from harness._runbooks import LOGQL, PROMQL, QUERIES, SECTIONS, TEXT
from harness._stores import CONFIGURATION
from sandscope_collector.stores import STORES, find_binary

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


def expectations(alert: str) -> list[dict[float, list[dict[str, Any]]]]:
    """Return what each unit test expects of an alert, by time in seconds."""
    files = [yaml.safe_load(file.read_text()) for file in TESTS]
    return [
        {seconds(each["eval_time"]): each["exp_alerts"] for each in asked if each["alertname"] == alert}
        for asked in (test.get("alert_rule_test", ()) for file in files for test in file["tests"])
    ]


def seconds(duration: str) -> float:
    """Return a duration as Prometheus writes it, such as ``6d23h30m``, in seconds."""
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+)([dhms])", duration))


@each_alert
def test_each_alert_is_seen_silent_and_then_firing(rule: dict[str, Any]) -> None:
    severity = rule["labels"]["severity"]
    seen = False
    for expected in expectations(rule["alert"]):
        silent = [time for time, alerts in expected.items() if not alerts]
        fires = {
            time: [alert for alert in alerts if alert["exp_labels"]["severity"] == severity]
            for time, alerts in expected.items()
        }
        seen = seen or any(fires[time] and min(silent, default=time) < time for time in fires)
        for alert in (each for alerts in expected.values() for each in alerts):
            assert set(alert["exp_annotations"]) == {"summary", "runbook_url"}
    assert seen


@each_alert
def test_each_alert_has_a_severity_a_summary_and_a_section_in_the_runbooks(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    for part in ("**Means**", "**Ask**", "**Do**"):
        assert part in SECTIONS[name]


def test_the_runbooks_are_about_alerts_that_exist() -> None:
    assert set(SECTIONS) == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("expression", sorted({rule["expr"] for rule in RULES}))
def test_a_rule_uses_declared_metrics_and_labels(expression: str) -> None:
    assert metrics_of(expression) <= declared_series()
    assert labels_of(expression) <= declared_labels()


@pytest.mark.parametrize(("alert", "query"), PROMQL)
def test_a_query_of_the_runbooks_uses_declared_metrics_and_labels(alert: str, query: str) -> None:
    assert metrics_of(query) <= declared_series(), alert
    assert labels_of(query) <= declared_labels(), alert


@pytest.mark.parametrize(("alert", "query"), LOGQL)
def test_a_query_of_the_runbooks_uses_declared_attributes(alert: str, query: str) -> None:
    filters = query.partition("}")[2]
    labels = set(re.findall(r"(\w+)(?:=|!)[=~\"]", filters))
    assert labels, alert
    assert labels <= {name.replace(".", "_") for name in Contract.whole().attributes}, alert


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", TEXT))
def test_a_link_of_the_runbooks_leads_somewhere(link: str) -> None:
    file, _, heading = link.partition("#")
    page = ROOT / "docs" / (file or "runbooks.md")
    assert page.is_file()
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    assert not heading or heading in {re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings}


@pytest.mark.parametrize("alert", SECTIONS)
def test_what_a_runbook_refers_to_is_there(alert: str) -> None:
    """Runbooks refer to each other by the names of alerts."""
    named = set(re.findall(r"\b(?:[Aa]s|[Ss]ee|for) ([A-Z][a-z]+[A-Z]\w+)", SECTIONS[alert]))
    assert named <= {rule["alert"] for rule in ALERTS}
    assert any(each == alert for each, _ in QUERIES)


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
