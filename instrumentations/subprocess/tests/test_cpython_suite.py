"""CPython's own tests of subprocess see no difference."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import lacking


@pytest.mark.slow
def test_every_test_ends_as_it_does_without_us(tmp_path: Path) -> None:
    if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_subprocess") is None:
        lacking("this Python comes without its own tests: use one that has the package `test`")
    assert _outcome("instrumented", tmp_path) == _outcome("plain", tmp_path)


def _outcome(way: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("cpython_suite.py")), way]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-5000:]
    outcome: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert outcome["ran"] > 200
    return outcome
