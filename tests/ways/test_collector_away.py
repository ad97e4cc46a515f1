"""If the Collector is absent, rejects requests or is slow, the program runs and ends as without telemetry."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from harness import PATIENCE, STOCK, OtlpSink, clean_environment, run_program
from sandscope._setup import _notice

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


def test_the_time_to_wait_for_a_slow_collector_is_a_setting_and_the_line_that_says_so_names_it() -> None:
    with OtlpSink(delay=120) as sink:
        said, by_default = _run(sink.endpoint)
        assert sink.requests > 0
        nothing, shorter = _run(sink.endpoint, SANDSCOPE_EXIT_TIMEOUT="0.1")
    assert said.count("\n") == 1, said
    assert f"Waiting up to 3 s for {sink.endpoint} to accept" in said
    assert "set SANDSCOPE_EXIT_TIMEOUT to fewer seconds than 4" in said
    assert nothing == ""
    assert WAIT <= by_default < MOST
    assert shorter < by_default, "however busy the machine is"


def test_one_line_says_that_telemetry_is_delivered_again(tmp_path: Path) -> None:
    end = tmp_path / "end"
    program = f"""
import pathlib, subprocess, time
while not pathlib.Path({str(end)!r}).exists():
    subprocess.run(["true"])
    time.sleep(0.1)
"""
    with OtlpSink(status=401) as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        command = [*STOCK, sys.executable, "-c", program]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as run:
            try:
                assert run.stderr is not None
                assert "Cannot deliver telemetry" in run.stderr.readline()
                sink._status = 200
                assert (
                    run.stderr.readline() == f"sandscope: Telemetry is delivered again to {sink.endpoint}.\n"
                )
                end.touch()
                assert run.communicate(timeout=PATIENCE)[1] == ""
            finally:
                run.kill()


class _Exporter:
    """Exports as OpenTelemetry's exporters do, and logs what fails."""

    def __init__(self) -> None:
        self.works = False

    def export(self) -> Any:
        if not self.works:
            logging.getLogger(_notice._EXPORTERS[0]).error("Failed to export")
        return SpanExportResult.SUCCESS if self.works else SpanExportResult.FAILURE


def test_an_outage_ends_when_each_signal_is_delivered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outage = _notice._Outage()
    exporters = [type(name, (_Exporter,), {})() for name in ("Spans", "Logs")]
    logger = logging.getLogger(_notice._EXPORTERS[0])
    monkeypatch.setattr(logger, "filters", [outage])
    for exporter in exporters:
        outage.watch(type(exporter))
        exporter.export()
    assert capsys.readouterr().err.count("Cannot deliver") == 1
    exporters[0].works = True
    exporters[0].export()
    assert capsys.readouterr().err == ""
    exporters[1].works = True
    exporters[1].export()
    assert "delivered again" in capsys.readouterr().err
    exporters[0].works = False
    exporters[0].export()
    exporters[0].works = True
    exporters[0].export()
    assert capsys.readouterr().err == "", "so soon, it is not said again"


def _without_pipelines_over_http() -> Any:
    return OtlpSink(status=404)


@contextmanager
def _without_pipelines_over_grpc() -> Iterator[Any]:
    grpc = pytest.importorskip("grpc")
    server = grpc.server(ThreadPoolExecutor())
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield SimpleNamespace(endpoint=f"http://127.0.0.1:{port}")
    server.stop(None)


@pytest.mark.parametrize("recorder", ["", "direct"])
@pytest.mark.parametrize(
    ("server", "protocol", "answer"),
    [
        (_without_pipelines_over_http, "http/protobuf", "404"),
        (_without_pipelines_over_grpc, "grpc", "UNIMPLEMENTED"),
    ],
)
def test_a_collector_without_pipelines_is_one_line_that_tells_it_from_one_that_is_away(
    server: Callable[[], Any], protocol: str, answer: str, recorder: str
) -> None:
    with server() as sink:
        said, _ = _run(sink.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, SANDSCOPE_RECORDER=recorder)
    assert said.count("\n") == 1, said
    signals = "traces|metrics|logs"
    told = rf"Cannot deliver ({signals}) to {sink.endpoint}: a server answers there, but takes no \1 \({answer}\)"
    assert re.search(told, said), said
    assert "give it a pipeline for" in said
