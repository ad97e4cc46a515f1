"""Every example runs, and stays short enough to read at a glance."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import (
    ROOT,
    OtlpSink,
    clean_environment,
    collector_ports,
    lacking,
    requires_otelcol,
    run_program,
)
from harness._stores import requires_stores

STORY = sorted(path for path in (ROOT / "examples").rglob("*.py") if path.parent != ROOT / "examples")
# What runs the demo and checks it is not part of the story.
MACHINERY = {"__main__.py", "arrived.py", "table.py"}


@pytest.mark.parametrize("path", STORY, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= (75 if path.name in MACHINERY else 50)


def _demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    requires_otelcol()
    if os.environ.get("CI") == "true" and importlib.util.find_spec("torch") is None:
        lacking("torch is not installed: `make torch`")
    return subprocess.run(
        [sys.executable, "-m", "examples.one_trace", *arguments],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.collector
@pytest.mark.slow
def test_one_trace_arrives_whole_in_the_local_files(tmp_path: Path) -> None:
    run = _demo("--data", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    table, _, tree = run.stdout.split("what arrived")[1].partition("the trace, as")
    assert "--" not in table
    assert "time limit exceeded (cpu limit), ended by the kernel" in tree
    assert "sandscope view --data" in tree


@pytest.mark.stores
@pytest.mark.slow
def test_one_trace_arrives_whole_in_the_real_stores(tmp_path: Path) -> None:
    requires_stores("prometheus", "jaeger", "loki")
    run = _demo("--stores", "native", "--data", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    for store in ("Jaeger", "Prometheus", "Loki"):
        assert store in run.stdout


def _attributes(record: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in record.attributes}


def requires_bubblewrap() -> None:
    """Skip unless this machine allows what the example does."""
    command = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--unshare-all", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        lacking("bubblewrap is not installed: `apt-get install bubblewrap`")
    if done.returncode != 0:
        lacking(f"bubblewrap cannot make a sandbox here: {done.stderr.strip()}. Allow user namespaces.")


@pytest.mark.slow
def test_an_own_sandbox_has_verdicts_from_evidence_and_one_trace() -> None:
    requires_bubblewrap()
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(ROOT / "examples" / "own_sandbox" / "app.py", environment=environment)
        assert (run.returncode, run.stderr) == (0, "")
        runs = [span for span in sink.spans if _attributes(span)["sandbox.runtime"] == "bubblewrap"]
        logs = [log for log in sink.logs if _attributes(log)["sandbox.runtime"] == "bubblewrap"]
    names = [f"sandbox.verdict.{part}" for part in ("status", "actor", "cause")] + ["process.exit.code"]
    assert {span.name: tuple(_attributes(span).get(name) for name in names) for span in runs} == {
        "trace": ("OK", "guest", "normal_exit", 0),
        "write": ("RE", "guest", "re_nonzero_exit", 1),
        "crash": ("SIG", "unknown", "sig_unattributed", 139),
        "endless": ("TLE", "host", "tle_wall_judge", None),
        "missing": ("IE", "host", "ie_supervisor_failure", None),
    }
    assert len(logs) == len(runs)
    (traced,) = [span for span in runs if span.name == "trace"]
    assert run.stdout.split("-")[1:3] == [traced.trace_id.hex(), traced.span_id.hex()]


def _from_files(folder: Path, name: str, *keys: str) -> list[dict[str, Any]]:
    """Return the innermost items of a file in OTLP's JSON form, each with its attributes as a dict."""
    items = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    for key in keys:
        items = [inner for item in items for inner in item[key]]
    return [
        item | {"attributes": {a["key"]: next(iter(a["value"].values())) for a in item.get("attributes", [])}}
        for item in items
    ]


@pytest.mark.collector
@pytest.mark.slow
def test_one_trace_shows_how_each_tool_call_of_an_agent_ended(tmp_path: Path) -> None:
    requires_otelcol()
    run = subprocess.run(
        [sys.executable, "-m", "examples.agent", str(tmp_path)],
        cwd=ROOT,
        env=clean_environment(**collector_ports().environment),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    spans = _from_files(tmp_path, "traces", "resourceSpans", "scopeSpans", "spans")
    logs = _from_files(tmp_path, "logs", "resourceLogs", "scopeLogs", "logRecords")
    tools = {span["spanId"]: span["attributes"] for span in spans if span["name"].startswith("execute_tool")}
    executions = {span["spanId"]: span for span in spans if "sandbox.runtime" in span["attributes"]}
    ended = {}
    for span in executions.values():
        attributes = span["attributes"]
        tool = tools[span["parentSpanId"]]
        assert attributes["gen_ai.tool.name"] == tool["gen_ai.tool.name"]
        assert attributes["gen_ai.conversation.id"] == "conversation_1"
        call = attributes["gen_ai.tool.call.id"]
        assert call == tool["gen_ai.tool.call.id"]
        ended[call] = (attributes["sandbox.verdict.status"], attributes["sandbox.verdict.cause"])
    assert ended == {
        "call_1": ("OK", "normal_exit"),
        "call_2": ("TLE", "tle_cpu_kernel"),
        "call_3": ("OK", "normal_exit"),
        "call_4": ("TLE", "tle_fuel"),
        "call_5": ("SV", "sv_memory_bounds"),
    }
    assert len({span["traceId"] for span in spans}) == 1
    for log in [log for log in logs if log.get("eventName") == "sandbox.execution"]:
        carried = {key: value for key, value in log["attributes"].items() if key.startswith("gen_ai")}
        assert carried.items() <= executions.pop(log["spanId"])["attributes"].items()
        assert len(carried) == 3
    assert executions == {}
    assert "gen_ai" not in (tmp_path / "metrics.jsonl").read_text()
    rows = re.findall(r"^(call_\d).* (\w+)$", run.stdout, re.MULTILINE)
    assert rows == [(call, cause) for call, (_, cause) in sorted(ended.items())]
