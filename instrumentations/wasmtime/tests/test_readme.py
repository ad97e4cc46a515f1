"""The worked example of the README: run as its readers run it, and compared with what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from harness import OtlpSink, clean_environment, run_program

PAGE = (Path(__file__).parents[1] / "README.md").read_text()
SECTION = PAGE.partition("## Why was my guest killed?")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run the program of the page, and return what it sent."""
    (program,) = re.findall(r"^```python\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    file = tmp_path_factory.mktemp("killed") / "killed.py"
    file.write_text(program)
    with OtlpSink() as sink:
        run = run_program(file, environment=clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint))
    assert run.returncode == 0, run.stderr
    killed = ("endless", "crash", "deep", "stillborn", "greedy", "curious")
    assert run.stdout.splitlines() == [f"{name} was killed" for name in killed]
    return sink


def attributes_of(holder: Any) -> dict[str, str]:
    """Return the attributes that are strings or integers, as strings."""
    return {a.key: a.value.string_value or str(a.value.int_value) for a in holder.attributes}


def test_each_plugin_has_the_verdict_of_the_page(sink: OtlpSink) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(wasm \w+)` \| `(\w+)` \| `(\w+)` \|(.*)\|$", SECTION, re.MULTILINE)
    assert len(rows) == 7
    found = []
    for span in sink.spans:
        attributes = attributes_of(span)
        verdict = (attributes["sandbox.verdict.status"], attributes["sandbox.verdict.cause"])
        found.append((attributes["wasm.module"], span.name, *verdict, span.status.message))
    assert sorted(found) == sorted((*row[:4], row[4].strip()) for row in rows)


def test_the_events_say_what_the_page_says(sink: OtlpSink) -> None:
    events = {
        (attributes_of(span)["wasm.module"], event.name): attributes_of(event)
        for span in sink.spans
        for event in span.events
    }
    assert "endless!spin" in events["endless", "exception"]["exception.stacktrace"]
    assert events["endless", "sandbox.resource"]["sandbox.resource.limit"] == "100000"
    if hasattr(wasmtime.Config, "max_wasm_stack"):  # not in older versions
        assert events["deep", "sandbox.resource"]["sandbox.resource.limit"] == str(256 * 1024)
    assert events["curious", "sandbox.security"]["sandbox.violation.resource"] == "host::secrets"


def test_the_log_records_and_metrics_say_the_same(sink: OtlpSink) -> None:
    bodies = {record.body.string_value: attributes_of(record) for record in sink.logs}
    assert "endless!spin" in bodies["wasm run: TLE (tle_fuel)"]["exception.stacktrace"]
    counted = {attributes_of(point)["sandbox.verdict.cause"] for point in sink.points("sandbox.executions")}
    assert counted == {
        "normal_exit",
        "tle_fuel",
        "re_unreachable",
        "mle_stack",
        "mle_store_limit",
        "sv_unknown_import",
    }
    limits = {attributes_of(point)["sandbox.limit"] for point in sink.points("sandbox.limit.violations")}
    assert limits == {"fuel", "stack", "memory"}
