"""CI runs up to three failed tests again, alone. What fails again, or more than three, fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import harness

_CONFTEST = """
from harness._second_try import SecondTry
pytest_configure = SecondTry.register
"""
_UNSTABLE = """
import os, pytest
@pytest.mark.parametrize("number", range({count}))
def test_unstable(number): assert "SANDSCOPE_TEST_SECOND_TRY" in os.environ
def test_stable(): assert {stable}
"""


@pytest.mark.parametrize(
    ("count", "stable", "in_ci", "status"),
    [
        pytest.param(3, True, True, 0, id="three pass alone"),
        pytest.param(2, False, True, 1, id="one fails again"),
        pytest.param(4, True, True, 1, id="four are too many"),
        pytest.param(1, True, False, 1, id="not in CI"),
    ],
)
def test_a_few_failed_tests_are_run_again(
    tmp_path: Path, count: int, stable: bool, in_ci: bool, status: int
) -> None:
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    (tmp_path / "test_it.py").write_text(_UNSTABLE.format(count=count, stable=stable))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI"))}
    environment.pop("SANDSCOPE_TEST_SECOND_TRY", None)
    environment["PYTHONPATH"] = str(Path(harness.__file__).parent.parent)
    if in_ci:
        environment["CI"] = "true"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == status, run.stdout
    assert run.stdout.count("Failed beside other tests, and passed alone: ") == (count if status == 0 else 0)
