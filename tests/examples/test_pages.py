"""The snippets of the pages for authors, run as their readers run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import BIN, ROOT, OtlpSink, clean_environment, run_program

_PATHS = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SNIPPETS = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_watch_your_own_sandbox() -> None:
    program = "\n".join(_SNIPPETS.findall((ROOT / "docs" / "watch-your-own-sandbox.md").read_text()))
    with OtlpSink() as sink:
        # What the program starts is its own sandbox's business: the page does not need another instrumentation.
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="subprocess"
        )
        run = run_program("from __future__ import annotations\n" + program, environment=environment)
    assert run.returncode == 0, run.stderr
    causes = {}
    for span in sink.spans:
        attributes = {a.key: a.value for a in span.attributes}
        causes.setdefault(span.name, []).append(attributes["sandbox.verdict.cause"].string_value)
    assert causes == {
        "run hello": ["normal_exit"],
        "run task": ["normal_exit"],
        "run code": ["re_nonzero_exit", "tle_wall_judge"],
        "measured run": ["normal_exit"],
        "parent": ["normal_exit"],
        "check code": ["normal_exit"],
        "run in background": ["normal_exit"],
    }
    assert sink.span("parent").span_id.hex() in run.stdout
    assert "my_sandbox.output.size" in {metric.name for metric in sink.metrics}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the page describes."""
    folder = tmp_path_factory.mktemp("project")
    page = (ROOT / "docs" / "write-an-instrumentation.md").read_text()
    files = dict(_PATHS.findall(page))
    assert len(files) == page.count("```") // 2 - page.count("```sh\n")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def installed(project: Path) -> Path:
    """Install the project, with nothing from an index, and return the folder of what was installed."""
    packages = project / "packages"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--python", sys.executable]
    subprocess.run(
        [BIN / "uv", "pip", "install", *options, "--target", packages, "."], cwd=project, check=True
    )
    return packages


def _contract(project: Path, packages: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "tests"],
        cwd=project,
        env=clean_environment(PYTHONPATH=str(packages)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_write_an_instrumentation_ends_with_a_contract_test_that_passes(
    project: Path, installed: Path
) -> None:
    run = _contract(project, installed)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "11 passed" in run.stdout


def test_its_contract_test_says_what_is_not_declared(project: Path, installed: Path) -> None:
    declared = project / "telemetry.yaml"
    before = declared.read_text()
    assert "      - ref: runpy.script\n" in before
    declared.write_text(before.replace("      - ref: runpy.script\n", ""))
    try:
        run = _contract(project, installed)
    finally:
        declared.write_text(before)
    assert run.returncode == 1
    assert "span 'run script': runpy.script is not declared there" in run.stdout


def test_the_instrumentation_of_the_page_is_found_and_used(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("print('hello')")
    program = f"import runpy; runpy.run_path({str(tmp_path / 'hello.py')!r})"
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH", "")]))
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, PYTHONPATH=path)
        run = run_program(program, environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, "hello\n", "")
    assert sink.names() == ["run script"]
