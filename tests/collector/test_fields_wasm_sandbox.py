"""Every field of the log records of wasm-sandbox's guide is in the Collector, where the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector._log_records import attributes_of
from harness import ROOT, clean_environment, complete_lines, run_program, wait_until
from sandscope._collector import CollectorProcess

pytestmark = pytest.mark.collector

PROGRAM = Path(__file__).parent / "programs" / "fields.py"
PAGE = (ROOT / "docs" / "names-wasm-sandbox.md").read_text().partition("| the guide's field |")[2]
EVENTS = {
    "sandbox.execution": (
        *("timestamp", "level", "app", "version", "environment", "event_type", "trace_id", "execution_id"),
        *("sandbox_id", "function", "duration_ms", "success", "memory_used", "fuel_consumed", "error"),
        "custom_fields",
    ),
    "sandbox.security": (
        "violation_type",
        "capability",
        "resource",
        "threshold",
        "actual_value",
        "action_taken",
    ),
    "sandbox.resource": ("resource_type", "current_usage", "limit", "percentage", "trend"),
}
"""The guide's fields, by our event; each event has the first eight."""


def records(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the log records in a file, each with its resource's attributes."""
    for line in complete_lines(file):
        for resource in json.loads(line)["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                for record in scope["logRecords"]:
                    yield {
                        **record,
                        "attributes": attributes_of(record),
                        "of": attributes_of(resource["resource"]),
                    }


@pytest.fixture
def found(start: Callable[..., CollectorProcess]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the log records by event and module."""
    collector = start("local", "prometheus", "names-wasm-sandbox")
    environment = clean_environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        OTEL_SERVICE_NAME="plugins",
        OTEL_RESOURCE_ATTRIBUTES="service.version=1.2,deployment.environment.name=staging,team=core",
        SANDSCOPE_WASMTIME_FUEL="true",
    )
    done = run_program(PROGRAM, environment=environment)
    assert done.returncode == 0, done.stderr
    file = collector.data / "logs.jsonl"

    def by_event() -> dict[tuple[str, str], dict[str, Any]]:
        all_of = records(file) if file.exists() else ()
        return {
            (each.get("eventName", ""), each["attributes"].get("wasm.module", "")): each for each in all_of
        }

    wait_until(lambda: len(by_event()) >= 7)
    return by_event()


def test_the_page_names_each_field() -> None:
    named = re.findall(
        r"`([\w.]+)`", " ".join(row.split("|")[1] for row in PAGE.splitlines() if row.startswith("| `"))
    )
    assert {field for fields in EVENTS.values() for field in fields} <= set(named)


def test_the_fields_are_where_the_page_says(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    for record in found.values():
        of = record["of"]
        assert (of["service.name"], of["service.version"]) == ("plugins", "1.2")
        assert (of["deployment.environment.name"], of["team"]) == ("staging", "core")
        assert record["traceId"]
        assert record.get("timeUnixNano") or record["observedTimeUnixNano"]
    good = found["sandbox.execution", "good"]
    attributes = good["attributes"]
    assert (good["severityText"], attributes["sandbox.verdict.status"], bool(good["spanId"])) == (
        "INFO",
        "OK",
        True,
    )
    assert (attributes["wasm.function"], attributes["wasm.memory.peak"]) == ("run", "131072")
    assert {"wasm.sandbox.id", "sandbox.duration", "wasm.fuel.consumed"} <= attributes.keys()
    assert (attributes["tenant"], attributes["session.id"]) == ("acme", "s1")

    endless = found["sandbox.execution", "endless"]
    assert endless["severityText"] == "WARN"
    assert found["sandbox.execution", "curious"]["severityText"] == "ERROR"
    assert "all fuel consumed" in endless["attributes"]["exception.message"]

    curious = found["sandbox.security", "curious"]
    attributes = curious["attributes"]
    assert (curious["severityText"], attributes["sandbox.violation.action"]) == ("WARN", "refused")
    assert attributes["sandbox.violation.type"] == "sv_unknown_import"
    assert attributes["sandbox.violation.resource"] == "host::secrets"

    greedy = found["sandbox.resource", "greedy"]
    attributes = greedy["attributes"]
    numbers = [attributes[f"sandbox.resource.{name}"] for name in ("limit", "usage", "percentage")]
    assert (greedy["severityText"], attributes["sandbox.limit"], numbers) == (
        "WARN",
        "memory",
        ["1048576", "6553600", 625],
    )
    assert found["sandbox.resource", "endless"]["attributes"]["sandbox.resource.limit"] == "10000"
