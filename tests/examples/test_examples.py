"""Every example runs, and stays short enough to read at a glance."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import ROOT, clean_environment, lacking, requires_otelcol
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
def test_one_trace_arrives_whole_in_the_local_files() -> None:
    run = _demo()
    assert run.returncode == 0, run.stdout + run.stderr
    assert "--" not in run.stdout.split("what arrived")[1]


@pytest.mark.stores
@pytest.mark.slow
def test_one_trace_arrives_whole_in_the_real_stores() -> None:
    requires_stores("prometheus", "jaeger", "loki")
    run = _demo("--stores", "native")
    assert run.returncode == 0, run.stdout + run.stderr
    for store in ("Jaeger", "Prometheus", "Loki"):
        assert store in run.stdout
