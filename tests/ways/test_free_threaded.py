"""An interpreter that runs threads at the same time: what is counted stays exact."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version

import pytest

from harness import ROOT, clean_environment, environment

NAMES = ("python3.14t", "python3.13t")
WITHOUT = ("test_fork_exporters.py", "test_modes.py")
"""Tests of gRPC, which cannot be installed there."""


@pytest.mark.slow
def test_eight_threads_lose_nothing() -> None:
    interpreter = next(filter(None, map(shutil.which, NAMES)), None)
    if interpreter is None:
        pytest.skip(f"there is no {' or '.join(NAMES)} here: `uv python install 3.14t`")
    packages = ("sdk", "exporter-otlp-proto-http", "exporter-prometheus", "instrumentation")
    names = ["wrapt", *(f"opentelemetry-{name}" for name in packages)]
    python = environment([f"{name}=={version(name)}" for name in names], interpreter, pytest.skip)
    tests = subprocess.run(
        [
            *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/core", "tests/deferred"),
            *(f"--ignore=tests/deferred/{name}" for name in WITHOUT),
        ],
        cwd=ROOT,
        env=clean_environment(PYTHONDONTWRITEBYTECODE="1", PYTHON_GIL="0"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout[-5000:] + tests.stderr[-1000:]
