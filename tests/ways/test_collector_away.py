"""A Collector that is absent, refuses or is slow: the program runs and ends as without telemetry."""

from __future__ import annotations

import subprocess
import time
from contextlib import AbstractContextManager, nullcontext

import pytest

from harness import OtlpSink, clean_environment, run_program

PROGRAM = "import subprocess, sys; subprocess.run(['true'], check=True); print('done'); sys.exit(3)"


def _run(endpoint: str, protocol: str = "http/protobuf") -> tuple[subprocess.CompletedProcess[str], float]:
    environment = clean_environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol
    )
    started = time.monotonic()
    return run_program(PROGRAM, environment=environment), time.monotonic() - started


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_absent(protocol: str) -> None:
    run, seconds = _run("http://127.0.0.1:9", protocol)
    assert (run.returncode, run.stdout) == (3, "done\n")
    assert run.stderr.count("\n") == 1, run.stderr
    assert "sandscope: Cannot deliver telemetry to http://127.0.0.1:9" in run.stderr
    assert "`sandscope collector run`" in run.stderr
    assert seconds < 10


@pytest.mark.parametrize(
    "away",
    [
        pytest.param(OtlpSink(status=503), id="refusing-for-now"),
        pytest.param(OtlpSink(status=401), id="refusing"),
        pytest.param(OtlpSink(delay=60), id="slow"),
    ],
)
def test_refusing_or_slow(away: OtlpSink) -> None:
    with away as sink:
        run, seconds = _run(sink.endpoint)
        assert sink.requests > 0
    assert (run.returncode, run.stdout) == (3, "done\n")
    assert run.stderr.count("\n") <= 1, run.stderr
    assert seconds < 10, "5 s after its own end, and time to start"


def test_the_wait_at_the_end_can_be_chosen() -> None:
    waits: AbstractContextManager[OtlpSink] = OtlpSink(delay=60)
    with waits as sink, nullcontext():
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, SANDSCOPE_EXIT_TIMEOUT="0.1"
        )
        started = time.monotonic()
        run_program(PROGRAM, environment=environment)
        assert time.monotonic() - started < 4
