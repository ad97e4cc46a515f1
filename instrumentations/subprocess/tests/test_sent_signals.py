"""Which signals of the program explain the end of a child."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest

LATER = 2.5
"""Seconds: longer than a program needs to stop a child after a timeout."""


def test_signal_0_is_no_evidence_and_needs_no_memory(ended: Any) -> None:
    def growth() -> int:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(20_000):
            os.kill(process.pid, 0)
            os.kill(process.pid, signal.SIGCONT)
        return tracemalloc.get_traced_memory()[0] - before

    process = subprocess.Popen(["sleep", "600"])
    try:
        tracemalloc.start()
        smallest = min(growth() for _ in range(4))  # the watcher imports modules meanwhile
        tracemalloc.stop()
        (child,) = ended.registry.children()
        sent = list(child.sent_signals)
    finally:
        process.kill()
        process.wait()
    assert sent == [signal.SIGCONT]
    assert smallest < 10_000


def test_a_second_signal_that_could_not_be_sent_leaves_the_first(ended: Any) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        (child,) = ended.registry.children()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        assert list(child.sent_signals) == [signal.SIGKILL]
    assert ended.verdict()[2] == "sig_sent_by_parent"


def test_a_signal_to_a_zombie_is_no_cause(ended: Any) -> None:
    process = subprocess.Popen(["/bin/sh", "-c", "kill -TERM $$"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert ended.verdict() == ("SIG", "unknown", "sig_unattributed", None)


def test_a_signal_to_a_pidfd(ended: Any) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        pidfd = os.pidfd_open(process.pid)
        signal.pidfd_send_signal(pidfd, 0)
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        os.close(pidfd)
    assert ended.verdict() == ("SIG", "host", "sig_sent_by_parent", None)


def test_a_signal_to_a_descriptor_that_is_no_pidfd(ended: Any) -> None:
    with subprocess.Popen(["sleep", "600"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for descriptor in (process.stdin.fileno(), -1):
            with pytest.raises(OSError, match="Bad file descriptor"):
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        with pytest.raises(TypeError):
            signal.pidfd_send_signal("1", signal.SIGTERM)  # type: ignore[arg-type]
        (child,) = ended.registry.children()
        assert child.sent_signals == {}
        process.kill()


def _wait(process: subprocess.Popen[bytes], timeout: float) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout)


@pytest.mark.parametrize("stop", [subprocess.Popen.kill, subprocess.Popen.terminate])
def test_cancelling_a_child_after_short_waits_is_no_timeout(ended: Any, stop: Any) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        for _ in range(8):
            _wait(process, 0.05)
        stop(process)
    assert ended.verdict() == ("SIG", "host", "sig_sent_by_parent", None)


@pytest.mark.parametrize("recorder_kind", ["deferred"])
def test_stopping_a_child_long_after_a_timeout_is_none(ended: Any) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        _wait(process, 0.3)
        time.sleep(LATER)
        process.kill()
    assert ended.verdict()[2] == "sig_sent_by_parent"


@pytest.mark.parametrize("recorder_kind", ["deferred"])
def test_a_timeout_after_a_short_wait(ended: Any) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        _wait(process, 0.05)
        _wait(process, 1)
        process.kill()
    assert ended.verdict() == ("TLE", "host", "tle_wall_judge", "wall")


@pytest.mark.parametrize("recorder_kind", ["deferred"])
def test_a_grace_period_between_two_signals_after_a_timeout(ended: Any) -> None:
    script = "trap '' TERM; while :; do sleep 0.05; done"
    with subprocess.Popen(["/bin/sh", "-c", script]) as process:
        _wait(process, 0.3)
        process.terminate()
        _wait(process, 0.1)
        process.kill()
    assert ended.verdict() == ("TLE", "host", "tle_wall_judge", "wall")
