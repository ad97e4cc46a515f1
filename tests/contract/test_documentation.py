"""Files and recipes that the documentation names exist, and the commands that it shows are valid."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import ROOT, requires_otelcol

PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("instrumentations/*/README.md"),
    *ROOT.glob("collector-config/*.md"),
]
TEXT = "\n".join(page.read_text() for page in PAGES)
COMPOSITIONS = sorted(
    set(re.findall(r"sandscope collector run ((?:[a-z][a-z-]* ?)+?)(?= *(?:#|`|--|\n))", TEXT))
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_target_of_every_link_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_recipe_that_is_named_exists() -> None:
    recipes = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", TEXT)) <= recipes


def test_make_help_lists_the_recipes() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"setup", "demo", "test", "check", "bench", "collector", "stores", "docs", "clean"} <= set(
        said.split()
    )


def test_every_file_of_the_contribution_table_exists() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().split("## How it is put together")[0]
    named = list(re.findall(r"`((?:src|docs|collector-config|examples)/[^`<*]+)`", table))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.collector
@pytest.mark.parametrize("overlays", [*COMPOSITIONS, "local prometheus jaeger loki"])
def test_every_composition_that_is_named_is_valid(overlays: str) -> None:
    requires_otelcol()
    command = [sys.executable, "-m", "sandscope", "collector", "validate", *overlays.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
