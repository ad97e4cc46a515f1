"""Children that a timer of the program stops, and programs that only look as if one did."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.parametrize("recorder_kind", ["deferred"])

WALL = ("TLE", "host", "tle_wall_judge", "wall")
BY_PARENT = ("SIG", "host", "sig_sent_by_parent", None)
SLEEP = ["sleep", "600"]


def _thread_timer(process: subprocess.Popen[bytes]) -> None:
    threading.Timer(0.2, process.kill).start()


def _thread_timer_with_own_code(process: subprocess.Popen[bytes]) -> None:
    def stop() -> None:
        if process.poll() is None:
            process.terminate()

    threading.Timer(0.2, stop).start()


@pytest.mark.parametrize("start", [_thread_timer, _thread_timer_with_own_code])
@pytest.mark.parametrize("how", ["wait", "communicate"])
def test_a_timer_thread(ended: Any, start: Callable[[Any], None], how: str) -> None:
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        start(process)
        getattr(process, how)()
    assert ended.verdict() == WALL
    assert ended.one()["sandbox.verdict.basis"] == "inferred"


def test_a_timer_that_looks_at_something_else_again_and_again(ended: Any) -> None:
    turns = 0

    def look() -> None:
        nonlocal turns
        turns += 1
        if turns == 6:
            process.kill()
        else:
            threading.Timer(0.05, look).start()

    with subprocess.Popen(SLEEP) as process:
        look()
    assert ended.verdict() == BY_PARENT


def test_a_timer_of_an_event_loop(ended: Any) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(*SLEEP)
        asyncio.get_running_loop().call_later(0.1, process.kill)
        await process.wait()

    asyncio.run(main())
    assert ended.verdict() == WALL
    assert ended.one()["sandbox.verdict.basis"] == "inferred"


def test_a_callback_of_an_event_loop_that_may_have_another_reason(ended: Any) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(*SLEEP)
        asyncio.get_running_loop().call_later(0.1, lambda: process.kill())  # noqa: PLW0108 -- the difference
        await process.wait()

    asyncio.run(main())
    assert ended.verdict() == BY_PARENT


@pytest.fixture
def alarm() -> Any:
    """Return a function that sets a handler of SIGALRM and the alarm."""
    before = signal.getsignal(signal.SIGALRM)

    def set_alarm(handler: Any, interval: float = 0.0) -> None:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2, interval)

    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_handler_of_an_alarm_kills(ended: Any, alarm: Any) -> None:
    with subprocess.Popen(SLEEP) as process:
        alarm(lambda *_: process.kill())
        process.wait()
    assert ended.verdict() == WALL


def test_a_handler_of_an_alarm_that_repeats(ended: Any, alarm: Any) -> None:
    with subprocess.Popen(SLEEP) as process:
        alarm(lambda *_: process.kill(), 0.2)
        process.wait()
    assert ended.verdict() == BY_PARENT


def test_a_handler_of_an_alarm_raises_an_error(ended: Any, alarm: Any) -> None:
    def handle(*_: Any) -> None:
        raise TimeoutError

    alarm(handle)
    with pytest.raises(TimeoutError):
        subprocess.run(SLEEP, check=False)
    assert ended.verdict() == WALL
    assert "sandbox.verdict.basis" not in ended.one()


def test_a_loop_with_a_deadline_looks_like_a_cancellation(ended: Any) -> None:
    deadline = time.monotonic() + 0.2
    with subprocess.Popen(SLEEP) as process:
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.01)
    assert ended.verdict() == BY_PARENT
    assert "sandbox.verdict.basis" not in ended.one()
