"""The oldest OpenTelemetry that `pyproject.toml` names: the core's tests pass with it, too.

The newest is what `requirements.lock` pins, and all other tests run with.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from harness import ROOT, clean_environment, environment
from sandscope._collector import find_otelcol
from sandscope._errors import SandscopeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TESTED = ("tests/core", "tests/deferred", "tests/contract/test_declarations.py")


def _oldest() -> list[str]:
    """Return what the project depends on, each at the version that its range begins with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [requirement.split(",")[0].replace(">=", "==") for requirement in project["dependencies"]]


@pytest.mark.slow
def test_the_cores_tests_pass_with_it() -> None:
    python = environment([*_oldest(), f"wasmtime=={version('wasmtime')}"])
    variables = clean_environment(PYTHONDONTWRITEBYTECODE="1")
    try:
        variables["SANDSCOPE_OTELCOL"] = str(find_otelcol())
    except SandscopeError:
        assert os.environ.get("CI") != "true"
    tests = subprocess.run(
        [python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTED],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout[-5000:] + tests.stderr[-1000:]
