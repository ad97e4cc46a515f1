"""The instrumented program is never changed: CPython's own test of subprocess passes whole."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

from harness import STOCK, OtlpSink, clean_environment, lacking

SUITE = [sys.executable, "-m", "unittest", "test.test_subprocess"]


def _outcomes(*way: str, **variables: str) -> tuple[int, str]:
    run = subprocess.run(
        [*way, *SUITE],
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return run.returncode, run.stderr


def _summary(report: str) -> list[str]:
    """Return the closing lines: how many ran, what failed and what was skipped."""
    return re.findall(r"^(?:Ran \d+ tests|OK.*|FAILED.*|FAIL: .*|ERROR: .*)", report, re.MULTILINE)


@pytest.mark.slow
def test_test_subprocess_passes_whole_under_the_stock_wrapper() -> None:
    if importlib.util.find_spec("test.test_subprocess") is None:
        lacking("this Python comes without its own tests: use one that has the package `test`")
    plain_code, plain = _outcomes()
    with OtlpSink() as sink:
        code, report = _outcomes(*STOCK, OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
    assert _summary(report) == _summary(plain), report[-5000:]
    assert code == plain_code
    executions = [span for span in sink.spans if span.kind == 3]
    assert len(executions) > 200, "they really were instrumented"
