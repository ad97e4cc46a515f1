"""The npm package: its own tests, its contract, and what it is made of."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess

import pytest

from browser._site import PACKAGE, bundle
from harness import ROOT, lacking


def _npm(*arguments: str) -> str:
    if shutil.which("npm") is None or not (PACKAGE / "node_modules").is_dir():
        lacking(
            "The package for browsers is not built, or npm is missing: install Node 20, then `make browser`."
        )
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        ["npm", *arguments], cwd=PACKAGE, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_its_own_tests_pass() -> None:
    assert " passed" in _npm("test")


def test_its_types_are_right() -> None:
    _npm("run", "check")


def test_what_is_published() -> None:
    bundle()
    [packed] = json.loads(_npm("pack", "--dry-run", "--json"))
    files = {file["path"] for file in packed["files"]}
    assert files >= {
        "README.md",
        "telemetry.yaml",
        "package.json",
        "dist/index.js",
        "dist/index.d.ts",
        "dist/sandscope.js",
    }
    assert not any(file.startswith(("src/", "tests/", "node_modules/")) for file in files)


def test_versions_are_exact_and_no_registry_is_named() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    versions = [*package["dependencies"].values(), *package["devDependencies"].values()]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    assert '"resolved"' not in (PACKAGE / "package-lock.json").read_text()
    assert "registry=" not in (PACKAGE / ".npmrc").read_text()


def test_the_script_is_small() -> None:
    assert bundle().stat().st_size < 200_000


def test_the_names_are_those_of_the_declarations() -> None:
    path = ROOT / "docs" / "browser_contract.py"
    spec = importlib.util.spec_from_file_location("browser_contract", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.source() == module.PATH.read_text(), "run `make docs`"
