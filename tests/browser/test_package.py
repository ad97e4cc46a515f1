"""The npm package: its own tests, its contract, and what it is made of."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from browser._site import PACKAGE, bundle
from harness import ROOT, lacking


def _npm(*arguments: str, cwd: Path = PACKAGE) -> str:
    if shutil.which("npm") is None or not (PACKAGE / "node_modules").is_dir():
        lacking(
            "The package for browsers is not built, or npm is missing: install Node 20, then `make browser`."
        )
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        ["npm", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_its_own_tests_pass() -> None:
    assert " passed" in _npm("test")


def test_its_types_are_right() -> None:
    _npm("run", "check")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project that has the package, and nothing else: a registry is not asked."""
    bundle()
    project = tmp_path_factory.mktemp("project")
    [packed] = json.loads(_npm("pack", "--json", "--pack-destination", str(project)))
    (project / "package.json").write_text('{"private": true, "type": "module"}')
    _npm("install", "--offline", "--no-audit", "--no-fund", f"./{packed['filename']}", cwd=project)
    return project


def test_what_is_published(installed: Path) -> None:
    published = installed / "node_modules" / "@sandscope" / "instrumentation-browser"
    files = {str(file.relative_to(published)) for file in published.rglob("*") if file.is_file()}
    assert files == {
        *("README.md", "telemetry.yaml", "package.json", "dist/LICENSES.txt"),
        *("dist/index.js", "dist/index.js.map", "dist/sandscope.js", "dist/sandscope.js.map"),
        *("dist/index.d.ts", "dist/settings.d.ts", "dist/tracked.d.ts"),
    }
    licenses = (published / "dist" / "LICENSES.txt").read_text()
    assert "@opentelemetry/sdk-trace\n" in licenses
    assert "web-vitals\n" in licenses


def test_it_can_be_imported_without_other_packages(installed: Path) -> None:
    assert [each.name for each in (installed / "node_modules").glob("[!.]*")] == ["@sandscope"]
    (installed / "page.ts").write_text(
        """import { type Settings, start, stop, trackInference } from "@sandscope/instrumentation-browser";
const settings: Settings = { endpoint: "http://127.0.0.1:9", functions: ["run"] };
start(settings);
trackInference("mnist", 784).end();
// @ts-expect-error: there is no such setting
start({ endpoint: "", intervall: 5 });
await stop();
"""
    )
    options = [
        "--strict",
        "--noEmit",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
        "--target",
        "es2022",
    ]
    _npm("exec", "--offline", "--prefix", str(PACKAGE), "--", "tsc", *options, "page.ts", cwd=installed)
    (installed / "page.js").write_text(
        """import { start, trackInference } from "@sandscope/instrumentation-browser";
const plain = WebAssembly.compile;
start({ endpoint: "http://127.0.0.1:9" });
console.log(WebAssembly.compile !== plain, typeof trackInference("mnist").end);
process.exit();
"""
    )
    done = subprocess.run(["node", "page.js"], cwd=installed, capture_output=True, text=True, check=True)
    assert done.stdout == "true function\n"


def test_versions_are_exact_and_no_registry_is_named() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    versions = package["devDependencies"].values()
    assert "dependencies" not in package  # what it needs is in the bundle
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
