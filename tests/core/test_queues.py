"""The queues in which executions wait, and the workers that run them."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest

import sandscope
from harness import Contract, Telemetry, wait_until
from sandscope import _guard, _manual
from sandscope._recording import _executors
from sandscope._reports import _queue, _reported
from sandscope_instrumentation_subprocess import SubprocessInstrumentor

QUEUED, WORKERS = "sandbox.execution.queued", "sandbox.workers"


@pytest.fixture
def recorded(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Record with an SDK that keeps telemetry in memory; afterwards, nothing is left, and all was declared."""
    monkeypatch.setattr(_manual, "_recorder", telemetry.recorder(_manual.SCOPE))
    monkeypatch.setattr(_queue, "_names", set())
    _executors._thread_pools.clear()
    yield telemetry
    assert Contract.whole().violations(telemetry) == []
    _executors._thread_pools.clear()
    assert not _reported._open


def _lengths(telemetry: Telemetry) -> dict[str, float]:
    return {attributes["sandbox.queue"]: value for attributes, value in telemetry.points(QUEUED)}


def _states(telemetry: Telemetry) -> dict[str, float]:
    return {attributes["sandbox.worker.state"]: value for attributes, value in telemetry.points(WORKERS)}


def test_nothing_is_reported_by_default(recorded: Telemetry) -> None:
    with sandscope.execution("docker", "run"):
        pass
    assert not {QUEUED, WORKERS} & set(recorded.metrics())


def test_a_queue_of_the_program(recorded: Telemetry) -> None:
    waiting: Queue[int] = Queue()
    with sandscope.queue("judge", waiting.qsize):
        assert _lengths(recorded) == {"judge": 0}
        for item in range(3):
            waiting.put(item)
        with sandscope.queue("judge", lambda: 2), sandscope.queue("other judge", lambda: 7):
            assert _lengths(recorded) == {"judge": 5, "other judge": 7}
        assert _lengths(recorded) == {"judge": 3}
    assert QUEUED not in recorded.metrics()


@pytest.mark.parametrize("length", [lambda: 1 / 0, lambda: None], ids=["raises", "none"])
def test_a_queue_that_cannot_be_read_is_left_out(recorded: Telemetry, length: Any) -> None:
    with sandscope.queue("broken", length), sandscope.queue("judge", lambda: 4):
        assert _lengths(recorded) == {"judge": 4}
    assert _guard.counts()["queue"] >= 1


def test_names_beyond_the_limit_are_other(recorded: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    queues = [sandscope.queue(f"queue {number}", lambda: 1) for number in range(40)]
    lengths = _lengths(recorded)
    assert len(lengths) == 33
    assert lengths["other"] == 8
    assert caplog.text.count("the limit of 32 names is reached") == 8
    for each in queues:
        each.close()


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="length is 3, not a function"):
        sandscope.queue("judge", 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not readable text"):
        sandscope.queue(" ", lambda: 1)
    worker = sandscope.worker()
    with pytest.raises(ValueError, match="Cannot set the state of a worker to 'ill'"):
        worker.state = "ill"  # type: ignore[assignment]
    worker.close()


def test_workers_of_the_program(recorded: Telemetry) -> None:
    with sandscope.worker() as worker, sandscope.worker():
        assert _states(recorded) == {"healthy": 2, "unhealthy": 0, "quarantined": 0}
        worker.state = "quarantined"
        assert worker.state == "quarantined"
        assert _states(recorded) == {"healthy": 1, "unhealthy": 0, "quarantined": 1}
        worker.state = "unhealthy"
        assert _states(recorded) == {"healthy": 1, "unhealthy": 1, "quarantined": 0}
    assert WORKERS not in recorded.metrics()


def test_a_forked_child_has_neither(recorded: Telemetry) -> None:
    with sandscope.worker(), sandscope.queue("judge", lambda: 1):
        pid = os.fork()
        if not pid:
            os._exit(len(_reported._open))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert _lengths(recorded) == {"judge": 1}


def test_the_queue_of_a_thread_pool_in_which_an_execution_began(recorded: Telemetry) -> None:
    go = threading.Event()

    def judge() -> None:
        with sandscope.execution("docker", "run"):
            assert go.wait(10)

    with ThreadPoolExecutor(1) as unrelated, ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(judge) for _ in range(7)]
        for _ in range(3):
            unrelated.submit(go.wait, 10)
        assert wait_until(lambda: _lengths(recorded) == {"thread_pool": 5})
        go.set()
        for future in futures:
            future.result()
        assert _lengths(recorded) == {"thread_pool": 0}


def test_a_thread_pool_that_is_shutting_down_has_no_more_than_its_work(recorded: Telemetry) -> None:
    go = threading.Event()

    def judge() -> None:
        with sandscope.execution("docker", "run"):
            assert go.wait(10)

    pool = ThreadPoolExecutor(1)
    futures = [pool.submit(judge) for _ in range(3)]
    assert wait_until(lambda: _lengths(recorded) == {"thread_pool": 2})
    pool.shutdown(wait=False)
    assert _lengths(recorded) == {"thread_pool": 2}
    go.set()
    for future in futures:
        future.result()
    pool.shutdown()
    assert QUEUED not in recorded.metrics()


def test_children_that_start_in_a_thread_pool(recorded: Telemetry) -> None:
    instrumentor = SubprocessInstrumentor()
    instrumentor.instrument(**recorded.providers)
    try:
        with ThreadPoolExecutor(1) as pool:
            for _ in range(4):
                pool.submit(subprocess.run, ["sleep", "0.5"], check=True)
            assert wait_until(lambda: _lengths(recorded).get("thread_pool", 0) >= 2)
    finally:
        instrumentor.uninstrument()
    assert wait_until(lambda: len(recorded.spans()) == 4)
    recorded.clear()
