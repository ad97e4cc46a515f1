"""``sandscope doctor`` reports how a program would be instrumented, and why."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness import PATIENCE, SANDSCOPE_RUN, OtlpSink, clean_environment
from sandscope._cli import _doctor_machine
from sandscope._cli._endpoint_check import check, endpoints
from sandscope_collector.stores._status import StoreStatus

DOCTOR = [SANDSCOPE_RUN[0], "doctor"]


def _doctor(**variables: str) -> tuple[int, str]:
    run = subprocess.run(
        DOCTOR,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    assert run.stderr == ""
    return run.returncode, run.stdout


def test_everything_is_ok_if_a_collector_responds() -> None:
    with OtlpSink() as sink:
        code, said = _doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
    assert code == 0, said
    assert f"ok endpoint    {sink.endpoint} (OTEL_EXPORTER_OTLP_ENDPOINT) accepts connections" in said
    assert "ok recorder    deferred, compiled" in said
    assert "ok wasmtime" in said
    assert ": instrumented" in said


def test_it_says_what_is_missing_and_what_to_do() -> None:
    code, said = _doctor(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert code == 1
    assert (
        "-- endpoint    http://127.0.0.1:9 (OTEL_EXPORTER_OTLP_ENDPOINT): Connection refused. "
        "Start a Collector: `sandscope run` or `sandscope collector run`." in said
    )


def test_it_says_why_the_recorder_is_direct() -> None:
    assert "ok recorder    direct: SANDSCOPE_RECORDER=direct" in _doctor(SANDSCOPE_RECORDER="direct")[1]


def test_it_says_why_the_recorder_is_not_compiled() -> None:
    said = _doctor(SANDSCOPE_RECORDER="python")[1]
    assert "ok recorder    deferred, in Python: SANDSCOPE_RECORDER is python" in said


def test_an_invalid_setting_is_reported() -> None:
    code, said = _doctor(SANDSCOPE_RECORDER="fast")
    assert code == 1
    assert "Cannot read SANDSCOPE_RECORDER='fast'" in said


def test_an_invalid_setting_of_an_instrumentation_is_reported_before_its_runtime_is_used() -> None:
    code, said = _doctor(SANDSCOPE_WASMTIME_SPANS="perhaps", SANDSCOPE_SUBPROCESS_OUTPUT="all")
    assert code == 1
    assert "Cannot read SANDSCOPE_WASMTIME_SPANS='perhaps': it is not all, outer or off." in said
    assert "ok subprocess" in said


class _Stranger(BaseHTTPRequestHandler):
    """Accepts everything, without a word."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


def test_a_server_that_is_no_collector_is_reported() -> None:
    with HTTPServer(("127.0.0.1", 0), _Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        code, said = _doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url)
        server.shutdown()
    assert code == 1
    assert (
        f"-- endpoint    {url} (OTEL_EXPORTER_OTLP_ENDPOINT): what listens there is not a Collector: "
        "it answers 200 OK, with no content type." in said
    )


def test_each_endpoint_is_checked_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_EXPORTER_OTLP_")]:
        monkeypatch.delenv(name)
    assert [str(found) for found in endpoints()] == ["http://localhost:4318 (the default)"]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert [str(found) for found in endpoints()] == ["http://localhost:4317 (the default)"]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b:2")
    assert [str(found) for found in endpoints()] == [
        "http://a:1 (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)",
        "http://b:2 (OTEL_EXPORTER_OTLP_ENDPOINT)",
    ]


def test_an_endpoint_that_is_no_url_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:b")
    passed, finding = check(endpoints()[0])
    assert not passed
    assert finding.startswith("http://a:b (OTEL_EXPORTER_OTLP_ENDPOINT): ")


class _Elsewhere(_Stranger):
    """Answers with another time."""

    def do_GET(self) -> None:
        self.send_response_only(404)
        self.send_header("Date", "Sat, 31 Jan 2026 12:00:00 GMT")
        self.end_headers()


def test_a_clock_that_differs_is_reported() -> None:
    with HTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        code, said = _doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url)
        server.shutdown()
    assert code == 1
    assert re.search(
        rf"^-- clock       \d+ s ahead of that of {re.escape(url)}. Synchronize both", said, re.MULTILINE
    )


def test_the_disk_is_that_of_the_collectors_files(tmp_path: Path) -> None:
    folder = tmp_path / "not yet" / "there"
    with OtlpSink() as sink:
        _, said = _doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, SANDSCOPE_DATA=str(folder))
    assert re.search(
        rf"^(ok|--) disk        [\d.]+ GiB are free for {re.escape(str(folder))}", said, re.MULTILINE
    )
    assert "ok clock       as that of" in said
    assert not folder.exists()


def test_too_small_a_disk_and_stores_that_do_not_answer_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_doctor_machine, "_ENOUGH", 1 << 80)
    passed, _, finding = _doctor_machine.disk()
    assert not passed
    assert "Set SANDSCOPE_DATA to another disk." in finding
    told = [
        StoreStatus(name, state, "1", None) for name, state in (("a", "up"), ("b", "exited"), ("c", "down"))
    ]
    monkeypatch.setattr("sandscope_collector.stores.status", lambda *_: told)
    up, exited = _doctor_machine.stores()
    assert up == (True, "store", "a 1 is up")
    assert exited[0] is False
    assert "then run `sandscope stores up`." in exited[2]
