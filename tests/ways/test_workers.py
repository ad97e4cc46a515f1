"""Counted once: workers of multiprocessing record what they did exactly once, and under their parent's name."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import pytest

from harness import OtlpSink, clean_environment, run_program

PROGRAM = """
import sandscope.auto
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import sandscope
from opentelemetry import metrics
own = metrics.get_meter("own").create_counter("own")
def work(kind):
    for _ in range(5):
        with sandscope.execution("docker", "run", name=kind):
            own.add(1)
def work_twice(kind, pool):
    for _ in range(2):
        list(pool.map(work, [kind] * 2))
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    count = 2 if sys.argv[1] == "fork" else 1  # other workers take their time to start
    work("parent")
    children = [context.Process(target=work, args=["process"]) for _ in range(count)]
    for child in children: child.start()
    for child in children: child.join()
    with ProcessPoolExecutor(count, context) as pool:
        work_twice("executor", pool)
    with context.Pool(count) as pool:
        work_twice("joined pool", pool)
        pool.close()
        pool.join()
    with context.Pool(2, maxtasksperchild=2) as pool:
        work_twice("terminated pool", pool)
    work("parent")
"""
EXECUTIONS = {"parent": 10, "process": 5, "executor": 20, "joined pool": 20, "terminated pool": 20}


def run(program: str, folder: Path, sink: OtlpSink, *arguments: str, **variables: str) -> str:
    """Run a program in a file, and return its output."""
    path = folder / "judge.py"
    path.write_text(program)
    variables.setdefault("PYTHONWARNINGS", "ignore::DeprecationWarning")
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **variables)
    result = run_program(path, *arguments, way=(), environment=environment)
    told = [line for line in result.stderr.splitlines() if "Waiting up to" not in line]  # on a busy machine
    assert (result.returncode, told) == (0, [])
    return result.stdout


HUNG = """
import sandscope.auto
import ctypes, multiprocessing, os, time
import sandscope
def work():
    for _ in range(5):
        with sandscope.execution("judge", "run", name="ended"):
            pass
    writer.send(1)
    ctypes.PyDLL(None).sleep(60)  # with the GIL: no other thread of the worker runs
if __name__ == "__main__":
    with sandscope.execution("judge", "run", name="parent"):
        pass
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    with context.Pool(1) as pool:
        pool.apply_async(work)
        assert reader.poll(60)
    end = time.monotonic() + 60  # the parent sends on a thread, and goes on
    while len(os.listdir(os.environ["SANDSCOPE_BLACK_BOX"])) > 1 and time.monotonic() < end:
        time.sleep(0.1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="black boxes are for Linux")
def test_the_parent_sends_what_a_worker_has_left_in_its_black_box(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        run(HUNG, tmp_path, sink, SANDSCOPE_BLACK_BOX=str(tmp_path / "boxes"), SANDSCOPE_EXIT_TIMEOUT="2")
    assert sorted(sink.names()) == [*["ended"] * 5, "parent"]
    assert sink.total("sandscope.recovered.executions") == 5
    assert len(sink.logs) == 6


@pytest.mark.parametrize(
    ("method", "recorder"),
    [*((method, "auto") for method in multiprocessing.get_all_start_methods()), ("fork", "direct")],
)
def test_the_sum_over_all_workers_is_exact(method: str, recorder: str, tmp_path: Path) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method} here")
    with OtlpSink() as sink:
        run(PROGRAM, tmp_path, sink, method, SANDSCOPE_RECORDER=recorder, SANDSCOPE_EXIT_TIMEOUT="60")
    names = sink.names()
    processes = {"process": 10} if method == "fork" else {}
    assert {name: names.count(name) for name in set(names)} == {**EXECUTIONS, **processes}
    assert len({span.span_id for span in sink.spans}) == len(sink.logs) == len(names)
    for name in ("sandbox.executions", "sandbox.execution.duration", "own"):
        assert sink.total(name) == len(names), sink.count_of(name)
    assert {resource["service.name"] for resource in sink.resources} == {"judge"}


POOL = """
import sandscope.auto
import multiprocessing, os, sys, time
from multiprocessing.pool import ThreadPool
import sandscope
def initialize(*arguments):
    global initialized
    initialized = arguments
def work(_):
    with sandscope.execution("docker", "run", name="run"):
        pass
    return initialized
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, initialize, (1, 2)) as pool:
        print(pool.map(work, [0]))
        begun = time.monotonic()
    print(time.monotonic() - begun, file=open(sys.argv[1], "w"))
    with ThreadPool(1, initialize, [3]) as pool:
        print(pool.map(work, [0]))
    try:
        multiprocessing.Pool(1, "initializer")
    except TypeError as error:
        print(error)
    pool = multiprocessing.Pool(processes=1, initializer=os._exit, initargs=[0])
    time.sleep(0.1)
    pool.terminate()
    with context.Pool(1):
        pass
"""
OUTPUT = "[(1, 2)]\n[(3,)]\ninitializer must be a callable\n"


def test_a_pool_does_what_it_did(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        assert run(POOL, tmp_path, sink, str(tmp_path / "seconds")) == OUTPUT
    assert sink.names() == ["run", "run"]


def test_the_end_of_a_pool_waits_within_the_exit_timeout(tmp_path: Path) -> None:
    with OtlpSink(delay=60) as sink:
        end = {"SANDSCOPE_EXIT_TIMEOUT": "1.5", "OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
        assert run(POOL, tmp_path, sink, str(tmp_path / "seconds"), **end) == OUTPUT
    assert sink.requests >= 1
    assert 1.5 <= float((tmp_path / "seconds").read_text()) < 20
