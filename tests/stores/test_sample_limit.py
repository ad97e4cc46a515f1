"""A page with more samples than `sample_limit` is not taken by Prometheus, and an alert tells of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest
import yaml
from examples.read_back import prometheus_query

from harness import PATIENCE, collector_ports, free_ports, wait_until
from harness._requires import requires_otelcol
from harness._stores import CONFIGURATION, requires_stores, running
from sandscope._collector import CollectorProcess, Composition

pytestmark = pytest.mark.stores
LIMIT = 300
"""Samples, in place of the shipped limit, so that a page beyond it is soon made."""


@pytest.fixture
def limited(tmp_path: Path) -> Path:
    """Return the shipped configuration with that limit."""
    shutil.copytree(CONFIGURATION / "prometheus", tmp_path / "configuration" / "prometheus")
    file = tmp_path / "configuration" / "prometheus" / "prometheus.yaml"
    text, replaced = re.subn(r"sample_limit: \d+", f"sample_limit: {LIMIT}", file.read_text())
    assert replaced == 1
    file.write_text(text)
    return tmp_path / "configuration"


def test_who_uses_the_name_of_another_does_not_fill_prometheus(
    limited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requires_stores("prometheus")
    monkeypatch.setenv("SANDSCOPE_SERVICES", "judge")
    scraped = free_ports(["collector"])["collector"]
    collector = CollectorProcess(
        Composition.of("prometheus", "guard"),
        data=tmp_path / "data",
        ports=collector_ports(prometheus=scraped),
        otelcol=requires_otelcol(),
    )
    stores = running(tmp_path / "stores", "prometheus", scrape=f"127.0.0.1:{scraped}", configuration=limited)
    with collector, stores as entries:
        prometheus = entries["prometheus"].url

        def has(expression: str) -> Callable[[], bool]:
            return lambda: bool(prometheus_query(prometheus, expression))

        _send(collector, values=LIMIT // 2)
        assert wait_until(has(f"count(flood_total) == {LIMIT // 2}"))
        _send(collector, values=LIMIT * 10)
        assert wait_until(has(_expression("CollectorDown")))
        assert not has(f"count(last_over_time(flood_total[1h])) > {LIMIT // 2}")()


def _expression(alert: str) -> str:
    rules = yaml.safe_load((CONFIGURATION / "prometheus" / "rules" / "telemetry.yaml").read_text())
    found = [
        rule["expr"] for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == alert
    ]
    return str(found[0])


def _send(collector: CollectorProcess, *, values: int) -> None:
    """Send a counter with so many values of an attribute, in the name of a service that is allowed."""
    points = [
        {
            "asInt": "1",
            "timeUnixNano": "1764324000000000000",
            "attributes": [{"key": "made.up", "value": {"stringValue": str(number)}}],
        }
        for number in range(values)
    ]
    metric = {
        "name": "flood",
        "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": points},
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "judge"}}]}
    body = json.dumps({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]})
    connection = HTTPConnection("127.0.0.1", collector.ports.otlp_http, timeout=PATIENCE)
    connection.request("POST", "/v1/metrics", body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()
