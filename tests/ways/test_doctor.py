"""``sandscope doctor`` reports how a program would be instrumented, and why."""

from __future__ import annotations

import subprocess

from harness import PATIENCE, SANDSCOPE_RUN, OtlpSink, clean_environment

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
    assert f"ok endpoint    {sink.endpoint} accepts connections" in said
    assert "ok recorder    deferred, compiled" in said
    assert "ok wasmtime" in said
    assert ": instrumented" in said


def test_it_says_what_is_missing_and_what_to_do() -> None:
    code, said = _doctor(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert code == 1
    assert (
        "-- endpoint    http://127.0.0.1:9: Connection refused. "
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
