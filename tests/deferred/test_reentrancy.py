"""Finalisers and signal handlers may end executions, read ids and flush while their thread does the same."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deferred._programs import SITE, Exporter, Program
from harness import ROOT, clean_environment, run_program, wait_until
from sandscope import _guard
from sandscope._deferred import _compiled, _hot_path


@contextmanager
def _signals(handle: Callable[[], object], every: float = 0.0005) -> Iterator[None]:
    over = False

    def handle_and_rearm(
        *_: object,
    ) -> None:  # one signal at a time: a handler may take longer than the interval
        try:
            handle()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0 if over else every)

    before = signal.signal(signal.SIGALRM, handle_and_rearm)
    signal.setitimer(signal.ITIMER_REAL, every)
    try:
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _accounted(program: Program, count: int) -> None:
    assert wait_until(program.pipeline.flush)
    assert program.executions() == count
    assert program.active() == 0
    assert program.accounted() == [count, count]
    assert _guard.counts() == {}


def _until(enough: Callable[[], bool], work: Callable[[], object]) -> None:
    ends = time.monotonic() + 30
    while not enough():
        assert time.monotonic() < ends
        work()


@pytest.mark.parametrize("inside", ["finish", "help", "settle", "flush"])
def test_a_signal_handler_that_records_and_flushes_anywhere(inside: str) -> None:
    program = Program(high_water=1 if inside == "help" else 2048)
    calls, handled = 0, 0

    def handle() -> None:
        nonlocal handled
        execution = program.recorder.begin(SITE)
        if execution is not None:  # nothing is recorded in the middle of a request
            handled += 1
            execution.finish()
        program.pipeline.settle()
        program.pipeline.flush()

    def work() -> None:
        nonlocal calls
        calls += 1
        program.run(10)
        if inside in {"settle", "flush"}:
            getattr(program.pipeline, inside)()

    with _signals(handle):
        _until(lambda: handled > 10, work)
    _accounted(program, 10 * calls + handled)


def test_a_signal_handler_in_the_middle_of_a_request_waits_for_nothing() -> None:
    program = Program(spans=Exporter(lambda: signal.raise_signal(signal.SIGALRM)))
    waited: list[float] = []

    def handle() -> None:
        started = time.monotonic()
        assert not program.pipeline.flush()
        waited.append(time.monotonic() - started)

    with _signals(handle, every=0):
        program.run(5)
        assert program.pipeline.flush()
    assert len(waited) == 1
    assert waited[0] < 0.5
    assert program.outcomes("span") == {"sent": 5}


def test_a_finaliser_that_ends_an_execution_in_the_middle_of_a_batch() -> None:
    program = Program(high_water=8)
    made = 0

    class Guest:
        def __init__(self) -> None:
            self.me = self  # a cycle: collected whenever the collector runs, wherever that is
            self.execution: Any = program.recorder.begin(SITE_INSIDE)

        def __del__(self) -> None:
            self.execution.finish()
            program.pipeline.settle()

    before = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    try:
        for _ in range(300):
            Guest()
            made += 1
            program.run(5)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    _accounted(program, made * 6)


COLLECTING = """
import gc, random, sys
from contextvars import ContextVar
from time import monotonic
from deferred._programs import SITE, Program

program, others, inside = Program(), [ContextVar(str(number)) for number in range(3)], 0

def collecting(phase, _):
    global inside
    if phase == "start":
        for variable in others:
            variable.set(inside)
        execution = program.recorder.begin(SITE)
        if execution is not None:
            execution.finish()
            inside += 1

gc.callbacks.append(collecting)
ends, calls = monotonic() + 2, 0
while monotonic() < ends:
    gc.set_threshold(random.randrange(1, 12), 10, 10)
    program.run(1)
    calls += 1
gc.callbacks.clear()
assert program.pipeline.flush()
assert program.executions() == calls + inside, (program.executions(), calls, inside)
"""


@pytest.mark.skipif(
    bool(_compiled.python_reason) and sys.version_info < (3, 12),
    reason="before Python 3.12 its own ContextVar.set fails then (docs/decisions/0004)",
)
def test_executions_that_are_recorded_while_the_collector_runs() -> None:
    """At any point of an execution, also while its context is set; use of freed memory would crash the program."""
    environment = clean_environment(PYTHONMALLOC="debug", PYTHONPATH=str(ROOT / "tests"))
    run = run_program(COLLECTING, way=(), environment=environment)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_signal_handler_that_ends_the_execution_that_is_being_ended() -> None:
    program, running = Program(), []
    count = 0

    def handle() -> None:
        if running:
            running[-1].finish()

    with _signals(handle, every=0.0002):
        ends = time.monotonic() + 0.3
        while time.monotonic() < ends:
            count += 1
            execution: Any = program.recorder.begin(SITE_INSIDE)
            running[:] = [execution]
            execution.finish()
    _accounted(program, count)


def test_two_threads_that_end_the_same_executions_count_each_once() -> None:
    program = Program()
    shared: list[Any] = [program.recorder.begin(SITE_INSIDE) for _ in range(5000)]
    together = threading.Barrier(2)

    def end() -> None:
        together.wait()
        for execution in shared:
            execution.finish()

    threads = [threading.Thread(target=end) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    _accounted(program, 5000)


def test_a_handler_and_the_drain_get_the_same_ids() -> None:
    program, asked = Program(), []
    count = 0

    def handle() -> None:
        if execution is not None:
            asked.append((execution, execution.get_span_context()))

    execution: Any = None
    with _signals(handle):
        ends = time.monotonic() + 0.3
        while time.monotonic() < ends:
            count += 1
            execution = program.recorder.begin(SITE)
            execution.finish()
            if count % 50 == 0:
                program.pipeline.settle()
    assert asked
    assert all(ended.get_span_context() is given for ended, given in asked)
    _accounted(program, count)


@pytest.mark.parametrize("where", ["ids", "metrics", "request"])
def test_a_handler_that_raises_releases_all_locks(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program()
    program.run(10)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    place: Any = {
        "ids": (program.pipeline.identities, "give"),
        "metrics": (program.recorder.aggregator._groups, "split"),
        "request": (program.spans, "work"),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(*place, interrupt)
        with pytest.raises(KeyboardInterrupt):
            program.pipeline.flush()
    program.run(7)
    assert wait_until(program.pipeline.flush)
    assert program.executions() >= 7
    assert program.outcomes("log")["sent"] >= 7
    assert program.recorder.begin(SITE_INSIDE) is not None, "this thread still records"


@pytest.mark.skipif(
    not _compiled.python_reason,
    reason="The compiled code does not take this lock. `make test-pythons` runs the Python code.",
)
def test_the_lock_of_ids_is_reentrant() -> None:
    program = Program()
    execution: Any = program.recorder.begin(SITE)
    with _hot_path._lock:
        assert execution.get_span_context().is_valid
    execution.finish()


SITE_INSIDE = SITE.__class__("wasmtime", "call", "not current", current=False)
