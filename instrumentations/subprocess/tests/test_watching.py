"""Which children a thread watches, with which descriptors, and when their executions end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from harness import wait_until
from sandscope_instrumentation_subprocess._evidence import wait_without_reaping
from sandscope_instrumentation_subprocess._waits import _exit_watcher
from sandscope_instrumentation_subprocess._waits._exit_watcher import GRACE_PERIOD
from sandscope_instrumentation_subprocess._waits._observed_wait import wait_observed

CLOCK_TOLERANCE = 1_000_000
"""Nanoseconds: durations are measured with another clock than the one that tests compare them with."""


def _descriptors() -> Counter[str]:
    """Return the kinds of the open file descriptors."""
    kinds = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- strings are what is needed
        with suppress(FileNotFoundError):  # that of the listing itself
            kinds.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115 -- a magic link, not a path
    return Counter(kind.rpartition(":")[2] for kind in kinds if "anon_inode" in kind)


def _pidfds() -> int:
    return _descriptors()["[pidfd]"]


def _main_thread_waits() -> bool:
    """Return whether the main thread is inside the blocking wait for a child."""
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return frame.f_code in {wait_observed.__code__, wait_without_reaping.__code__}


def _watched(ended: Any) -> int:
    """Return the number of children that the watcher's thread watches."""
    return len(ended.registry._watcher._pidfds)


@contextmanager
def _meanwhile(function: Callable[[], None]) -> Iterator[None]:
    """Call a function on another thread."""
    thread = threading.Thread(target=function)
    thread.start()
    yield
    thread.join()


def test_a_hundred_children_from_eight_threads(ended: Any) -> None:
    def one(number: int) -> int:
        process = subprocess.Popen(["/bin/sh", "-c", f"exit {number % 5}"])
        if number % 3 == 0:
            process.communicate(timeout=60)
        elif number % 3 == 1:
            process.wait()
        else:
            wait_until(lambda: process.poll() is not None, timeout=60)
        return process.returncode

    before = _descriptors()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(100))) == [number % 5 for number in range(100)]
    codes = [a["process.exit.code"] for a in ended.all(100)]
    assert {code: codes.count(code) for code in range(5)} == dict.fromkeys(range(5), 20)
    watcher = Counter({"[eventpoll]": 1, "[eventfd]": 1})
    assert wait_until(lambda: _descriptors() - before == watcher)


@pytest.mark.parametrize("waits_again", [True, False])
def test_an_interrupted_wait(ended: Any, gate: Any, waits_again: bool) -> None:
    """After it, the exit is observed whether or not the program waits again."""

    def interrupt() -> None:
        wait_until(_main_thread_waits, timeout=60)
        os.kill(os.getpid(), signal.SIGINT)
        interrupted.wait(5)  # should the signal come just before the wait blocks, the exit ends it
        gate.open()

    interrupted = threading.Event()
    process = subprocess.Popen(["cat"], stdin=gate.input)
    with _meanwhile(interrupt):
        with pytest.raises(KeyboardInterrupt):
            process.wait()
        interrupted.set()
        if waits_again:
            assert process.wait() == 0
        assert ended.verdict()[0] == "OK"
    assert process.wait() == 0


@pytest.mark.parametrize(
    ("how", "watched"),
    [
        (lambda **options: subprocess.run(["cat"], check=True, **options), False),
        (lambda **options: subprocess.call(["cat"], **options), False),
        (lambda **options: subprocess.Popen(["cat"], **options).wait(), False),
        (lambda **options: subprocess.run(["cat"], check=True, capture_output=True, **options), True),
        (lambda **options: subprocess.run(["cat"], check=True, timeout=600, **options), True),
    ],
    ids=["run", "call", "wait", "pipe", "timeout"],
)
def test_a_child_that_the_program_blocks_on_is_not_watched(
    ended: Any, gate: Any, how: Callable[..., Any], watched: bool
) -> None:
    def observe() -> None:
        if watched:
            found.append(wait_until(lambda: _watched(ended) > 0, timeout=60))
        else:
            found.append(not wait_until(_main_thread_waits, timeout=60) or _watched(ended) > 0)
        gate.open()

    before = _pidfds()
    found: list[bool] = []
    subprocess.run(["true"], check=True, capture_output=True)  # starts the watcher
    with _meanwhile(observe):
        how(stdin=gate.input)
    assert found == [watched]
    assert wait_until(lambda: _pidfds() == before)
    assert {a["sandbox.verdict.status"] for a in ended.all(2)} == {"OK"}


@pytest.mark.parametrize("how", [subprocess.run, lambda command: subprocess.Popen(command).wait()])
def test_a_child_is_read_while_the_program_waits_for_it(ended: Any, how: Callable[[Any], Any]) -> None:
    how(["sleep", "0.3"])
    ended.one()
    assert [n for _, n in ended.telemetry.points("sandbox.backend.cgroup")] == [1]


def test_a_program_that_only_runs_children_gets_no_descriptors(ended: Any, gate: Any) -> None:
    """Each start of a child would copy the table of descriptors up to the highest one, and close them."""

    def look() -> None:
        wait_until(_main_thread_waits, timeout=60)
        found.append(_descriptors())
        gate.open()

    found: list[Counter[str]] = []
    before = _descriptors()
    with _meanwhile(look):
        subprocess.run(["cat"], stdin=gate.input, check=True)
    assert found == [before]
    subprocess.run(
        ["true"], capture_output=True, check=True
    )  # this one is watched, and the watcher wakes up for it
    process = subprocess.Popen(["true"])
    child = ended.registry.get(process.pid)
    assert wait_until(lambda: child.exit_time is not None, timeout=60)
    process.wait()
    assert {a["sandbox.verdict.status"] for a in ended.all(3)} == {"OK"}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio waits by pidfds")
@pytest.mark.parametrize("in_thread", [True, False])
def test_a_child_for_which_a_thread_of_asyncio_waits_is_not_watched(
    ended: Any, gate: Any, monkeypatch: pytest.MonkeyPatch, in_thread: bool
) -> None:
    async def run() -> int:
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=gate.input, stdout=asyncio.subprocess.PIPE
        )
        child = ended.registry.get(process.pid)
        watched.append(child in ended.registry._watcher._pidfds)
        gate.open()
        return await process.wait()

    watched: list[bool] = []
    with subprocess.Popen(["true"]):  # starts the watcher
        pass
    if not in_thread:
        policy = asyncio.get_event_loop_policy()
        monkeypatch.setattr(policy, "_watcher", asyncio.PidfdChildWatcher())
    assert asyncio.run(run()) == 0
    assert watched == [not in_thread]
    assert {a["sandbox.verdict.status"] for a in ended.all(2)} == {"OK"}


def test_an_execution_ends_with_its_child_if_nobody_waits(ended: Any) -> None:
    process = subprocess.Popen(["true"])
    assert wait_until(lambda: ended.registry.get(process.pid) is None, timeout=60)
    latest_exit = time.time_ns() - int(GRACE_PERIOD * 1e9)
    assert process.wait() == 0
    ended.one()
    (span,) = ended.telemetry.spans()
    assert span.end_time <= latest_exit + CLOCK_TOLERANCE


def test_an_execution_ends_with_its_child_if_the_program_waits_late(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_exit_watcher, "GRACE_PERIOD", 600)
    process = subprocess.Popen(["true"])
    child = ended.registry.get(process.pid)
    assert wait_until(lambda: child.exit_time is not None, timeout=60)
    latest_exit = time.time_ns()
    time.sleep(0.05)
    assert process.wait() == 0
    ended.one()
    (span,) = ended.telemetry.spans()
    assert span.end_time <= latest_exit + CLOCK_TOLERANCE


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_forgets_the_children_of_its_parent(ended: Any, gate: Any, in_fork: Any) -> None:
    def forked() -> None:
        ended.telemetry.clear()
        assert _descriptors() - before == Counter()
        assert ended.registry.children() == []
        assert subprocess.run(["/bin/sh", "-c", "exit 3"], check=False).returncode == 3
        assert ended.one()["process.exit.code"] == 3

    before = _descriptors()
    with subprocess.Popen(["cat"], stdin=gate.input) as process:
        in_fork(forked)
        gate.open()
        assert process.wait() == 0
    assert ended.verdict()[0] == "OK"


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_process_that_is_forked_while_another_thread_starts_a_child(
    ended: Any, in_fork: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fork comes while that thread has the lock of the watcher; the forked process has no such thread."""

    def pidfd_open(pid: int) -> int:
        if threading.current_thread() is starter and os.getpid() == parent:
            starting.set()
            forked.wait(60)
        return pidfd_open_itself(pid)

    def start_child() -> None:
        subprocess.run(["true"], check=True, capture_output=True)
        ended.one()

    parent, pidfd_open_itself = os.getpid(), os.pidfd_open
    starting, forked = threading.Event(), threading.Event()
    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    starter = threading.Thread(target=start_child)
    starter.start()
    assert starting.wait(60)
    try:
        in_fork(start_child)
    finally:
        forked.set()
        starter.join()
    assert ended.verdict()[0] == "OK"


def test_without_pidfds_executions_end_where_the_program_waits(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    process = subprocess.Popen(["false"])
    assert wait_until(lambda: process.poll() is not None, timeout=60)
    assert ended.verdict() == ("RE", "guest", "re_nonzero_exit", None)
