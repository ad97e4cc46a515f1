"""What is bounded, and what is asked of the recorder."""

from __future__ import annotations

import logging

import pytest

import sandscope
from harness import Contract, Telemetry
from sandscope import _guard, _manual


def test_runtimes_and_operations_are_limited(
    recorded: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_manual, "_kinds", set())
    _manual._site.cache_clear()
    caplog.set_level(logging.WARNING, "sandscope")
    for number in range(40):
        with sandscope.execution(f"runtime {number}", "run"):
            pass
    points = recorded.points("sandbox.executions")
    assert len(points) == 33
    (beyond,) = [value for attributes, value in points if attributes["sandbox.runtime"] == "other"]
    assert beyond == 8
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "Executions of runtime 32 run are recorded as other"
    ]
    assert Contract().violations(recorded) == []
    _manual._site.cache_clear()


def test_the_number_of_sites_is_limited_if_names_differ_each_time() -> None:
    for number in range(1000):
        sandscope.execution("docker", "run", name=f"run {number}")
    assert _manual._site.cache_info().currsize <= 256


def test_the_recorder_is_requested_once(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandscope._recording import _choice

    asked = []
    get = telemetry.recorder
    monkeypatch.setattr(_manual, "_recorder", None)
    monkeypatch.setattr(_choice, "get_recorder", lambda scope: [asked.append(scope), get(scope)][1])
    for _ in range(3):
        with sandscope.execution("docker", "run"):
            pass
    assert asked == [_manual.SCOPE]
    assert len(telemetry.spans()) == 3


def test_without_a_recorder_the_program_runs_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sandscope._recording import _choice

    def broken(_scope: object) -> None:
        raise RuntimeError("a broken SDK")

    monkeypatch.setattr(_manual, "_recorder", None)
    monkeypatch.setattr(_choice, "get_recorder", broken)
    with sandscope.execution("docker", "run") as run:
        assert run.environment({}) == {}
    assert _guard.counts() == {"recorder.begin": 1}
    assert len(caplog.records) == 1
