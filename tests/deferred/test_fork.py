"""A forked child records and sends only its own executions; the parent loses none, and neither process hangs."""

from __future__ import annotations

import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from deferred._forked import in_child
from deferred._programs import SITE, Exporter, Program
from harness import OtlpSink, clean_environment, run_program, wait_until
from sandscope import _guard
from sandscope._deferred import _compiled, _hot_path


def _report(program: Program) -> dict[str, Any]:
    assert program.pipeline.flush(10)
    return {
        "spans": [(span.name, span.context.span_id) for span in program.spans.arrived],
        "active": program.active(),
        "errors": _guard.counts(),
    }


def test_in_the_middle_of_a_drain() -> None:
    program = Program(Exporter(lambda: time.sleep(0.002)), Exporter(lambda: time.sleep(0.002)))
    stop = threading.Event()
    done = 0

    def work() -> None:
        nonlocal done
        while not stop.is_set():
            program.run(50)
            done += 50
            program.pipeline.flush()

    def child() -> dict[str, Any]:
        before = len(program.spans.arrived)  # the parent's: this exporter keeps them in memory
        program.run(7)
        report = _report(program)
        return {**report, "spans": report["spans"][before:]}

    thread = threading.Thread(target=work)
    thread.start()
    try:
        children = [in_child(child) for _ in range(12)]
    finally:
        stop.set()
        thread.join(20)
    for report in children:
        assert isinstance(report, dict), report
        assert len(report["spans"]) == 7
        assert report["active"] == 0
        assert report["errors"] == {}
    assert wait_until(program.pipeline.flush)
    assert program.executions() == done
    assert program.active() == 0
    assert program.accounted() == [done, done]
    assert _guard.counts() == {}
    ids = [span_id for report in children for _, span_id in report["spans"]]
    ids += [span.context.span_id for span in program.spans.arrived]
    assert len(set(ids)) == len(ids), "no id is given twice"


def test_waiting_and_running_executions_stay_in_the_parent() -> None:
    program = Program()
    program.pipeline.idle = False  # no drain: all waits
    program.run(20)
    running: Any = program.recorder.begin(SITE)
    report = in_child(lambda: _report(program))
    assert (report["spans"], report["active"]) == ([], 0)
    running.finish()
    assert program.pipeline.flush()
    assert len(program.spans.arrived) == 21
    assert program.active() == 0


def test_the_child_knows_the_ids_of_what_runs() -> None:
    program = Program()
    running: Any = program.recorder.begin(SITE)
    seen = in_child(lambda: tuple(trace.get_current_span().get_span_context()[:2]))
    assert seen == tuple(running.get_span_context()[:2])
    running.finish()


def test_the_childs_drain_sends_by_itself() -> None:
    program = Program()
    program.run(1)
    program.pipeline.flush()

    def child() -> bool:
        program.run(3)
        return wait_until(lambda: len(program.spans.arrived) == 4)

    assert in_child(child) is True


in_python = pytest.mark.skipif(
    not _compiled.python_reason,
    reason="The compiled code does not take this lock. `make test-pythons` runs the Python code.",
)


@pytest.mark.parametrize(
    "lock",
    ["outcomes", pytest.param("ids", marks=in_python), "errors", "exporting", "queueing", "collecting"],
)
def test_a_lock_that_another_thread_holds_does_not_stop_the_child(lock: str) -> None:
    program = Program()
    held = {
        "outcomes": program.pipeline.outcomes._lock,
        "ids": _hot_path._lock,
        "errors": _guard._lock,
        "exporting": program.pipeline._outlets[0]._export_lock,
        "queueing": program.pipeline._outlets[0]._lock,
        "collecting": program.pipeline._collect_lock,
    }[lock]
    holding, over = threading.Event(), threading.Event()

    def hold() -> None:
        with held:
            holding.set()
            over.wait(30)

    def child() -> int:
        execution: Any = program.recorder.begin(SITE)
        execution.get_span_context()
        execution.finish()
        _guard.report("test", ValueError())
        program.pipeline.flush()
        return len(program.spans.arrived)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    try:
        assert in_child(child, 10) == 1
    finally:
        over.set()
        thread.join(10)


FORKING = """
import os, subprocess, sys
def run(n):
    for _ in range(n):
        subprocess.run(["true"], check=True)
run(2)
from opentelemetry import trace
trace.get_tracer_provider().force_flush()
pid = os.fork()
if pid == 0:
    run(3)
    sys.exit(0)
run(4)
assert os.waitpid(pid, 0)[1] == 0
"""
MULTIPROCESSING = """
import multiprocessing
from sandscope.instrumentation import Scope, Site
from sandscope._recording._choice import get_recorder
recorder = get_recorder(Scope("mine", "1"))
context = multiprocessing.get_context("fork")
def work(deeper=False):
    recorder.begin(Site("wasmtime", "call", "add")).finish()
    if deeper:
        child = context.Process(target=work)
        child.start(); child.join(20)
        assert child.exitcode == 0
if __name__ == "__main__":
    work()
    children = [context.Process(target=work, args=[deeper]) for deeper in (False, True)]
    for child in children: child.start()
    for child in children: child.join(20)
    assert [child.exitcode for child in children] == [0, 0]
"""


def _spans(program: str) -> list[Any]:
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, PYTHONWARNINGS="ignore::DeprecationWarning"
        )
        run = run_program(program, environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert len(sink.logs) == len(sink.spans)
    return sink.spans


def test_a_program_that_forks_after_it_has_sent() -> None:
    spans = _spans(FORKING)
    assert len(spans) == len({span.span_id for span in spans}) == 9


def test_children_of_multiprocessing_which_end_without_exit_handlers() -> None:
    spans = _spans(MULTIPROCESSING)
    assert len(spans) == len({span.span_id for span in spans}) == 4


STARTED = """
import sandscope.auto
import multiprocessing, subprocess, sys
def work():
    subprocess.run(["true"], check=True)
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=work) for _ in range(2)]
    for child in children: child.start()
    for child in children: child.join(30)
    assert [child.exitcode for child in children] == [0, 0]
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_of_multiprocessing_however_they_are_started(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(STARTED)
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, PYTHONWARNINGS="ignore::DeprecationWarning"
        )
        run = run_program(program, method, way=(), environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert sink.names() == ["true", "true"]
    assert len(sink.logs) == 2
