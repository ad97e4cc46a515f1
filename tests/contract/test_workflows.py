"""The workflows of this repository run its recipes, on the Pythons that it supports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RECIPES = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def read(file: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(file.read_text())
    return content


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for job in read(file)["jobs"].values():
        yield from job["steps"]


def test_there_are_workflows() -> None:
    assert FILES


@each_file
def test_a_step_runs_a_recipe_or_an_action_with_a_version(file: Path) -> None:
    for step in steps(file):
        if "uses" in step:
            assert re.fullmatch(
                r"(actions/[a-z-]+@v\d+|pypa/gh-action-pypi-publish@release/v1)", step["uses"]
            )
        elif step["run"].startswith("make "):
            assert step["run"].split()[1] in RECIPES
            named = re.search(r'ARGS="([^"]*)"', step["run"])
            assert all((ROOT / path).exists() for path in (named[1].split() if named else []))
        else:
            assert (ROOT / step["run"].removeprefix("python ").split()[0]).is_file()


@each_file
def test_a_workflow_may_only_read(file: Path) -> None:
    content = read(file)
    assert content["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in content[True]  # YAML reads `on` as true
    assert all("timeout-minutes" in job for job in content["jobs"].values())


def test_each_python_is_tested() -> None:
    (pythons,) = re.findall(r"^PYTHONS = \((.*)\)$", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    tested = read(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["python"]["strategy"]["matrix"][
        "python"
    ]
    assert tested == re.findall(r"[\d.]+", pythons)
