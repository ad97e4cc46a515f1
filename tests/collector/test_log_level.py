"""Loki gets records of a level and above, the files get all, and records of security are never left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry._logs import SeverityNumber

from collector._log_records import records_in, send
from collector._spans import attributes_for
from harness import OtlpSink, wait_until
from sandscope import SandscopeError
from sandscope._collector import CollectorProcess, Composition, validate

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


@pytest.fixture
def loki(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpSink]:
    """Take the place of Loki."""
    with OtlpSink() as sink:
        monkeypatch.setenv("SANDSCOPE_LOKI_ENDPOINT", sink.endpoint)
        yield sink


def send_all(collector: CollectorProcess) -> None:
    """Send a record of each level, one without a level, and two of security."""
    records: list[dict[str, object]] = [
        {"body": {"stringValue": level}, "severityNumber": SeverityNumber[level].value} for level in LEVELS
    ]
    security = attributes_for({"security.event.type": "auth_success"})
    records += [
        {"body": {"stringValue": "without"}},
        {"body": {"stringValue": "refused"}, "severityNumber": 1, "eventName": "sandbox.security"},
        {"body": {"stringValue": "logged in"}, "severityNumber": 1, "attributes": security},
    ]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})
    assert send(collector.ports.otlp_http, body.encode()) == 200


@pytest.mark.parametrize("level", [None, "DEBUG", "INFO", "ERROR"])
def test_a_store_gets_a_level_and_above(
    level: str | None, start: Start, loki: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    if level is not None:
        monkeypatch.setenv("SANDSCOPE_LOKI_LEVEL", level)
    collector = start("loki", "local", "security")
    send_all(collector)
    always = {"without", "refused", "logged in"}
    expected = {*LEVELS[LEVELS.index(level or "TRACE") :], *always}
    assert wait_until(lambda: len(loki.logs) >= len(expected))
    assert {record.body.string_value for record in loki.logs} == expected
    on_disk = {each["body"]["stringValue"] for each in records_in(collector.data / "logs.jsonl")}
    assert on_disk == {*LEVELS, *always}
    security = {each["body"]["stringValue"] for each in records_in(collector.data / "security.jsonl")}
    assert security == {"refused", "logged in"}


def test_what_is_no_level_is_an_error_at_start(otelcol: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_LOKI_LEVEL", "LOUD")
    with pytest.raises(SandscopeError, match="SEVERITY_NUMBER_LOUD"):
        validate(otelcol, Composition.of("loki"))
