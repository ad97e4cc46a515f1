"""The example workflows are valid, and their commands do here what they do in CI."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import BIN, PATIENCE, ROOT, clean_environment, requires_otelcol

FOLDER = ROOT / "examples" / "ci"
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "5", "GITHUB_WORKFLOW": "test", "GITHUB_JOB": "test"}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PIPELINE_ID": "5",
    "CI_PROJECT_NAME": "test",
    "CI_JOB_NAME": "test",
    "CI_PIPELINE_CREATED_AT": "2026-01-31T12:00:00Z",
}
AUDIT = [{"name": "flask", "version": "0.5", "vulns": [{"id": "PYSEC-2019-179", "fix_versions": ["1.0"]}]}]


def read(name: str) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load((FOLDER / name).read_text())
    return content


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with a test, in which `pip` installs nothing and `pip-audit` asks nobody."""
    requires_otelcol()
    (tmp_path / "test_one.py").write_text("def test_one(): pass")
    (tmp_path / "event.json").write_text("{}")
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, text in {"pip": "", "pip-audit": f"echo '{json.dumps(AUDIT)}' > audit.json; exit 1"}.items():
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(0o755)
    return tmp_path


def run(project: Path, command: str, variables: dict[str, str]) -> None:
    environment = clean_environment(**variables, GITHUB_EVENT_PATH=str(project / "event.json"))
    environment["PATH"] = f"{project / 'commands'}:{BIN}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)


def check(project: Path) -> None:
    """See that the report and the verdict are there, and that all is one trace."""
    assert "<svg" in (project / "report.html").read_text()
    assert json.loads((project / "verdict.json").read_text())["status"] == "OK"
    traces = (project / "sandscope-data" / "traces.jsonl").read_text()
    spans = [
        span
        for line in traces.splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert len({span["traceId"] for span in spans}) == 1
    (root,) = [span for span in spans if not span.get("parentSpanId")]
    assert root["name"] == "RUN test"
    assert '"PYSEC-2019-179"' in (project / "sandscope-data" / "metrics.jsonl").read_text()


def steps() -> Iterator[dict[str, Any]]:
    (job,) = read("github.yml")["jobs"].values()
    yield from job["steps"]


@pytest.mark.collector
def test_the_workflow_of_github(project: Path) -> None:
    for step in steps():
        assert ("run" in step) != ("uses" in step)
        if "run" in step:
            run(project, step["run"].replace("${{ job.status }}", "success"), GITHUB)
    uploaded = list(steps())[-1]["with"]["path"].split()
    assert [name for name in uploaded if not (project / name).is_file()] == []
    check(project)


@pytest.mark.collector
def test_the_pipeline_of_gitlab(project: Path) -> None:
    pipeline = read("gitlab-ci.yml")
    assert {pipeline[name]["stage"] for name in ("test", "succeeded", "failed")} <= set(pipeline["stages"])
    for line in [
        *pipeline["default"]["before_script"],
        *pipeline["test"]["script"],
        *pipeline["test"]["after_script"],
        *pipeline["succeeded"]["script"],
    ]:
        run(project, line, GITLAB)
    assert [name for name in pipeline["test"]["artifacts"]["paths"] if not (project / name).is_file()] == []
    check(project)
