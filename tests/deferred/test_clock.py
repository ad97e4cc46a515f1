"""A change of the wall clock affects timestamps, but not durations."""

from __future__ import annotations

import time
from typing import Any

import pytest

from deferred._programs import SITE, Program
from sandscope._deferred import _clock

HOUR = 3600 * 10**9


@pytest.fixture(autouse=True)
def _put_right() -> Any:
    yield
    _clock.refresh()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_durations_are_correct_if_the_clock_changes_during_an_execution(
    jump: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program()
    execution: Any = program.recorder.begin(SITE)
    with monkeypatch.context() as patch:
        patch.setattr(_clock, "time_ns", lambda: time.time_ns() + jump)
        program.pipeline.flush()
        time.sleep(0.01)
        execution.finish()
        program.pipeline.flush()
    (span,) = program.spans.arrived
    assert 10_000_000 <= span.end_time - span.start_time < 10**9
    assert abs(span.end_time - time.time_ns() - jump) < 10**9, "the new time of day"
    assert 0.01 <= program.logs.arrived[0].log_record.attributes["sandbox.duration"] < 1
    assert 0 <= program.metric("sandbox.execution.duration") == 1


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_an_end_time_of_another_clock_is_never_before_the_start(jump: int) -> None:
    program = Program()
    execution: Any = program.recorder.begin(SITE)
    execution.finish(end_time=time.time_ns() - abs(jump))
    assert execution.duration == 0
    program.pipeline.flush()
    (span,) = program.spans.arrived
    assert span.end_time == span.start_time


def test_refresh_follows_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _clock.offset
    monkeypatch.setattr(_clock, "time_ns", lambda: time.time_ns() + HOUR)
    _clock.refresh()
    assert abs(_clock.offset - before - HOUR) < 10**9
