"""The compiled hot path is built with the wheel, and is optional."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from harness import PATIENCE, ROOT, clean_environment, lacking
from sandscope._deferred import _compiled

PROGRAM = """
import sandscope.auto
from sandscope.instrumentation import Scope, Site, get_recorder
from sandscope._deferred import _compiled
recorder = get_recorder(Scope("scope", "1"))
recorder.begin(Site("wasmtime", "call", "add")).finish()
print(recorder.pipeline.flush(), bool(_compiled.python_reason))
"""


def _wheel(folder: Path, **variables: str) -> Path:
    """Build the wheel of this checkout as `uv build` does."""
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.so", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools.build_meta import build_wheel; build_wheel('wheel')"
    subprocess.run(
        [sys.executable, "-c", build],
        cwd=source,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    (wheel,) = (source / "wheel").glob("*.whl")
    return wheel


def _says(wheel: Path, folder: Path) -> list[str]:
    """Record one execution with a wheel; return whether it was sent, and whether the hot path is in Python."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "installed")
    environment = clean_environment(
        PYTHONPATH=str(folder / "installed"),
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=2 * PATIENCE,
    )
    return run.stdout.split()


def test_a_wheel_built_with_a_compiler_uses_it(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        lacking("no C compiler: install gcc and python3-dev")
    assert _says(_wheel(tmp_path), tmp_path) == ["True", "False"]


def test_a_wheel_built_without_a_compiler_works(tmp_path: Path) -> None:
    assert _says(_wheel(tmp_path, CC=str(tmp_path / "no-compiler")), tmp_path) == ["True", "True"]


def test_these_tests_run_with_compiled_code() -> None:
    if _compiled.python_reason:
        lacking(
            f"the hot path is not compiled ({_compiled.python_reason}): install gcc and python3-dev, `make setup`"
        )
