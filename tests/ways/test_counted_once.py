"""Counted once: over all processes of a program, the metrics count each execution exactly once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from harness import OtlpSink, clean_environment, run_program

if not hasattr(os, "fork"):
    pytest.skip("there is no fork here", allow_module_level=True)

RECORDERS = ("auto", "direct")
START = """
import sandscope.auto
import os, sys, threading, time
import sandscope
from opentelemetry import metrics, trace
own = metrics.get_meter("own").create_counter("own")
def run(count=1):
    for _ in range(count):
        with sandscope.execution("docker", "run", name="run"):
            own.add(1)
def wait(*children):
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
"""
FORKS = """
run(1000)
if "flush" in sys.argv:
    metrics.get_meter_provider().force_flush()
for _ in range(3):
    child = os.fork()
    if child == 0:
        run()
        sys.exit()
    wait(child)
"""
THREADS = """
counts, stop = [], threading.Event()
def work():
    count = 0
    while not stop.is_set():
        run(10)
        count += 10
        if count % 200 == 0:
            metrics.get_meter_provider().force_flush()
            time.sleep(0.01)
    counts.append(count)
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        run(20)
        grandchild = os.fork()
        run(7)
        if grandchild:
            wait(grandchild)
        sys.exit()
    children.append(child)
    time.sleep(0.02)
stop.set()
for thread in threads: thread.join()
wait(*children)
print(sum(counts) + 8 * (20 + 2 * 7))
"""
INSIDE = """
with sandscope.execution("docker", "run", name="outer"):
    child = os.fork()
    run()
if child:
    wait(child)
"""
AT_ONCE = """
from sandscope._deferred._pipeline import Pipeline
from sandscope._recording._choice import get_recorder
from sandscope._scope import Scope
create = Pipeline.__init__
def create_slowly(*args, **kwargs):
    time.sleep(0.2)
    create(*args, **kwargs)
Pipeline.__init__ = create_slowly
threads = [threading.Timer(0.1, get_recorder, [Scope(str(number), "1")]) for number in range(3)]
for thread in threads: thread.start()
run(2)
for thread in threads: thread.join()
child = os.fork()
run(3)
if child:
    wait(child)
"""


def run(program: str, sink: OtlpSink, *arguments: str, **variables: str) -> str:
    """Run a program, and return its output."""
    variables.setdefault("SANDSCOPE_EXIT_TIMEOUT", "60")
    variables.setdefault("PYTHONWARNINGS", "ignore::DeprecationWarning")
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **variables)
    result = run_program(START + program, *arguments, way=(), environment=environment)
    told = [line for line in result.stderr.splitlines() if "Waiting up to" not in line]  # on a busy machine
    assert (result.returncode, told) == (0, [])
    return result.stdout


def check(sink: OtlpSink, executions: int, processes: int, own: int | None = None) -> None:
    """Check that every signal has each execution exactly once."""
    counted = sink.count_of("sandbox.executions")
    assert sink.total("sandbox.executions") == executions, counted
    assert len([count for count in counted.values() if count]) == processes, counted
    assert sink.total("sandbox.execution.duration") == executions
    assert sink.total("own") == (executions if own is None else own)
    assert len({span.span_id for span in sink.spans}) == len(sink.spans) == executions
    assert len(sink.logs) == executions
    assert active(sink) == 0
    records: Mapping[str, float] = sink.count_of("sandscope.recorder.records")
    if any(records.values()):
        assert sum(records.values()) == 2 * executions, records


def active(sink: OtlpSink) -> float:
    return sum(
        metrics[-1].sum.data_points[-1].as_int
        for metrics in (
            [metric for metric in metrics if metric.name == "sandbox.execution.active"]
            for metrics in sink.metrics_of.values()
        )
        if metrics
    )


@pytest.mark.parametrize(
    ("recorder", "collected", "temporality"),
    [
        ("auto", "", "cumulative"),
        ("auto", "flush", "cumulative"),
        ("auto", "flush", "delta"),
        ("direct", "", "delta"),
        ("direct", "flush", "cumulative"),
    ],
)
def test_forked_children_start_from_nothing(recorder: str, collected: str, temporality: str) -> None:
    with OtlpSink() as sink:
        run(
            FORKS,
            sink,
            collected,
            SANDSCOPE_RECORDER=recorder,
            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality,
        )
    check(sink, 1003, processes=4)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_forks_under_load_from_threads(recorder: str) -> None:
    with OtlpSink() as sink:
        total = int(run(THREADS, sink, SANDSCOPE_RECORDER=recorder))
    check(sink, total, processes=17)


def test_recorders_that_are_created_at_the_same_time() -> None:
    with OtlpSink() as sink:
        run(AT_ONCE, sink)
    check(sink, 8, processes=2)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_an_execution_is_recorded_by_the_process_that_began_it(recorder: str) -> None:
    with OtlpSink() as sink:
        run(INSIDE, sink, SANDSCOPE_RECORDER=recorder)
    check(sink, 3, processes=2, own=2)


def test_a_childs_metrics_start_at_the_fork() -> None:
    program = "run(2)\ntime.sleep(0.05)\nprint(time.time_ns())\nif os.fork(): wait(-1)\nrun()"
    with OtlpSink() as sink:
        forked = int(run(program, sink).split()[0])
    own, all_others = [
        {
            instance: [start for name, start in _starts(metrics) if (name == "own") is own]
            for instance, metrics in sink.metrics_of.items()
        }
        for own in (True, False)
    ]
    parent, child = sorted(own, key=own.__getitem__)
    assert own[parent][0] < forked < own[child][0]
    assert forked < min(all_others[child])


def _starts(metrics: list[Any]) -> Iterator[tuple[str, int]]:
    for metric in metrics:
        for point in getattr(metric, metric.WhichOneof("data")).data_points:
            yield metric.name, point.start_time_unix_nano
