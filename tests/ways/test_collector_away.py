"""If the Collector is absent, rejects requests or is slow, the program runs and ends as without telemetry."""

from __future__ import annotations

import time

import pytest

from harness import OtlpSink, clean_environment, run_program

PROGRAM = """
import subprocess, sys, time
subprocess.run(["true"], check=True)
print(time.monotonic())
sys.exit(3)
"""
WAIT = 4.0
"""Seconds that sending the rest may take at the end, by default."""
MOST = 30.0
"""Seconds until the end on a busy machine."""


def _run(endpoint: str, **variables: str) -> tuple[str, float]:
    """Return the program's stderr, and the seconds from its last statement to its end."""
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **variables)
    run = run_program(PROGRAM, environment=environment)
    ended = time.monotonic()
    assert run.returncode == 3
    return run.stderr, ended - float(run.stdout)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_absent(protocol: str) -> None:
    said, seconds = _run("http://127.0.0.1:9", OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert said.count("\n") == 1, said
    assert "sandscope: Cannot deliver telemetry to http://127.0.0.1:9" in said
    assert "`sandscope collector run`" in said
    assert seconds < MOST


@pytest.mark.parametrize(
    "away",
    [pytest.param(OtlpSink(status=503), id="for now"), pytest.param(OtlpSink(status=401), id="for good")],
)
def test_rejecting_requests(away: OtlpSink) -> None:
    with away as sink:
        said, seconds = _run(sink.endpoint)
        assert sink.requests > 0
    assert said.count("\n") <= 1, said
    assert seconds < MOST


def test_the_time_to_wait_for_a_slow_collector_is_a_setting() -> None:
    with OtlpSink(delay=120) as sink:
        said, by_default = _run(sink.endpoint)
        assert sink.requests > 0
        _, shorter = _run(sink.endpoint, SANDSCOPE_EXIT_TIMEOUT="0.1")
    assert said.count("\n") <= 1, said
    assert WAIT <= by_default < MOST
    assert shorter < by_default, "however busy the machine is"
