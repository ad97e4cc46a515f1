"""Instrumentation does not change subprocess: CPython's own tests have the same outcomes with and without it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness import PATIENCE, STOCK, OtlpSink, clean_environment, lacking

SUITES = ["test_subprocess", "test_popen", "test_pty"]
if os.environ.get("SANDSCOPE_TEST_STDLIB"):  # minutes: `nox -s stdlib` runs them on all Pythons
    SUITES += ["test_signal", "test_os", "test_concurrent_futures", "test_asyncio"]
PROGRAM = Path(__file__).parent / "programs" / "stdlib_suite.py"
MAX_SECONDS_PLAIN = 1800
"""Seconds: the suite takes half a minute on an idle machine."""
MAX_SLOWDOWN = 10
RUNS_ALONE = 3
"""How often a failed test is run again, alone: some fail on a busy machine, instrumented or not."""


class Suite:
    """A run of the suite in its own process."""

    def __init__(self, folder: Path, *way: str, names: Iterable[str], **variables: str) -> None:
        folder.mkdir()
        self._report, self._log = folder / "report.json", folder / "log"
        command = [*way, sys.executable, str(PROGRAM), str(self._report), *names]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, env=clean_environment(**variables), stdout=log, stderr=log
            )

    def outcomes(self, timeout: float) -> dict[str, Any]:
        """Wait for its end and return how many tests ran, which were skipped and which failed."""
        assert self._process.wait(timeout) == 0, self._log.read_text()[-5000:]
        outcomes: dict[str, Any] = json.loads(self._report.read_text())
        return outcomes

    def __enter__(self) -> Suite:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["wrapper", "in the process"])
@pytest.mark.parametrize("suite", SUITES)
def test_the_outcomes_are_the_same_with_instrumentation(tmp_path: Path, suite: str, way: str) -> None:
    name = f"test.{suite}"
    if importlib.util.find_spec(name) is None:
        lacking("this Python has no tests: use one with the package `test`")
    command = STOCK if way == "wrapper" else ()
    option = () if way == "wrapper" else ("--instrument",)
    with OtlpSink() as sink:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint}
        began = time.monotonic()
        with (
            Suite(
                tmp_path / "instrumented", *command, names=(*option, name), **variables
            ) as instrumented_suite,
            Suite(tmp_path / "plain", names=[name]) as plain_suite,
        ):
            plain = plain_suite.outcomes(MAX_SECONDS_PLAIN)
            max_seconds = MAX_SLOWDOWN * (time.monotonic() - began) + PATIENCE
            instrumented = instrumented_suite.outcomes(max_seconds)

        failed = {name: text for name, text in instrumented["failed"].items() if name not in plain["failed"]}
        for run in range(RUNS_ALONE):
            if failed:
                with Suite(
                    tmp_path / f"alone {run}", *command, names=(*option, *failed), **variables
                ) as again:
                    failed = again.outcomes(MAX_SECONDS_PLAIN)["failed"]
    sys.stdout.write(f"{suite}, {way}: {instrumented['seconds']:.0f} s, plain {plain['seconds']:.0f} s\n")
    assert failed == {}
    assert instrumented["ran"] == plain["ran"] > 0
    assert instrumented["skipped"] == plain["skipped"]
    if suite == "test_subprocess":
        executions = [span for span in sink.spans if span.kind == 3]
        assert len(executions) > 200, "the program was not instrumented"
