"""The tests of real cgroups on a kernel of their own, with version 1, version 2 and both, whatever this machine has."""

from __future__ import annotations

import re
from typing import Literal

import pytest

from harness import PATIENCE
from harness._user_mode_linux import run_tests

FOLDER = "instrumentations/subprocess/tests"
TESTS = (
    f"{FOLDER}/test_own_cgroups.py",
    f"{FOLDER}/test_backends.py",
    f"{FOLDER}/test_cleanup.py::test_processes_left_in_the_childs_own_cgroup_are_partial",
    f"{FOLDER}/test_controls.py::test_a_cgroup_of_its_own",
)


@pytest.mark.slow
@pytest.mark.parametrize("cgroups", ["v1", "v2", "both"])
def test_own_cgroups(cgroups: Literal["v1", "v2", "both"]) -> None:
    output = run_tests(cgroups, TESTS, timeout=10 * PATIENCE)
    assert "pytest: 0" in output, output
    assert "Memory cgroup out of memory: Killed process" in output, "the limits held"
    assert int(re.findall(r"(\d+) passed", output)[-1]) >= len(TESTS)
    assert "skipped" not in output, output
