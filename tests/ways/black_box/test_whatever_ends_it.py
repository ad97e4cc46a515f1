"""Whatever ends a program, its executions are told of: those that had ended, and the one that was running."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from harness import (
    PATIENCE,
    SANDSCOPE_RUN,
    OtlpSink,
    clean_environment,
    collector_ports,
    limited_memory,
    requires_otelcol,
    run_program,
    wait_until,
)
from sandscope._deferred._compiled import python_reason
from ways.black_box._dying import (
    BLACK_BOX,
    COUNT,
    PROGRAM,
    RECORDERS,
    attribute_of,
    boxes_in,
    dying_program,
    environment_of,
    of_judge,
    span_ids,
)

pytestmark = BLACK_BOX


ENDS = {
    "SIGKILL": "kill()",
    "crash": "crash()",
    "os._exit": "os._exit(3)",
    "execv": "os.execv(sys.executable, [sys.executable, '-I', '-c', 'pass'])",
}
EXPORT_FIRST = {"os._exit", "execv"}
"""Before these, metrics are exported. Those that are under way when a program is killed may count twice."""


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("end", ENDS)
def test_sandscope_run_tells_of_what_ran_and_of_what_was_not_delivered(
    end: str, recorder: str, tmp_path: Path
) -> None:
    with OtlpSink() as sink:
        environment = environment_of(sink, SANDSCOPE_RECORDER=recorder, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run = run_program(dying_program(ENDS[end]), way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == {"SIGKILL": -9, "crash": -11, "os._exit": 3, "execv": 0}[end], run.stderr
    assert "recovered 1 execution that ran when the program died" in run.stderr
    spans, logs = of_judge(sink.spans), of_judge(sink.logs)
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == COUNT + 1
    assert {log.span_id for log in logs} == set(span_ids(sink))
    assert len(logs) == COUNT + 1
    (running,) = [span for span in spans if span.name == "running"]
    assert attribute_of(running, "sandbox.verdict.status") == "IE"
    assert attribute_of(running, "sandbox.verdict.cause") == "ie_host_killed"
    assert attribute_of(running, "sandscope.recovered") == "running"
    assert 0 < running.start_time_unix_nano <= running.end_time_unix_nano
    assert {attribute_of(span, "sandbox.verdict.status") for span in spans if span.name == "ended"} == {"OK"}
    assert not boxes_in(tmp_path)
    counted = sum(
        point.as_int
        for metric in sink.metrics
        if metric.name == "sandbox.executions"
        for point in metric.sum.data_points
        if attribute_of(point, "sandbox.verdict.cause") == "ie_host_killed"
    )
    assert counted == 1
    assert end not in EXPORT_FIRST or sink.total("sandbox.executions") == COUNT + 1
    assert {"mine"} == {resource["service.name"] for resource in sink.resources}


@pytest.mark.skipif(bool(python_reason), reason="there is no compiled recorder")
def test_sandscope_run_needs_no_setting_and_leaves_no_folder() -> None:
    show = "print(os.environ['SANDSCOPE_BLACK_BOX_OF_RUN'], flush=True); "
    with OtlpSink() as sink:
        run = run_program(dying_program(f"{show}kill()"), way=SANDSCOPE_RUN, environment=environment_of(sink))
    assert "recovered 1 execution that ran" in run.stderr
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == COUNT + 1
    folder = Path(run.stdout.strip())
    assert folder.is_absolute()
    assert not folder.exists()


@pytest.mark.skipif(bool(python_reason), reason="there is no compiled recorder")
def test_folders_that_killed_runs_have_left_are_removed_by_the_next_run() -> None:
    show = "print(os.environ['SANDSCOPE_BLACK_BOX_OF_RUN'], flush=True); "
    with OtlpSink() as sink:
        kill_run = f"import os, signal\n{show}os.kill(os.getppid(), signal.SIGKILL)"
        killed = run_program(kill_run, way=SANDSCOPE_RUN, environment=environment_of(sink))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert Path(killed.stdout.strip()).is_dir()
        assert run_program("pass", way=SANDSCOPE_RUN, environment=environment_of(sink)).returncode == 0
    assert not Path(killed.stdout.strip()).exists()


CHILDREN = {
    "fork": """
pid = os.fork()
if pid == 0:
    with sandscope.execution("judge", "run", name="running"):
        kill()
os.waitpid(pid, 0)
""",
    "process pool": """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
def work(_):
    with sandscope.execution("judge", "run", name="running"):
        kill()
try:
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        list(pool.map(work, [1]))
except Exception as error:
    assert "terminated abruptly" in str(error), error
""",
}


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("kind", CHILDREN)
def test_a_forked_child_has_a_file_of_its_own(kind: str, recorder: str, tmp_path: Path) -> None:
    program = f"{PROGRAM}\nwith sandscope.execution('judge', 'run', name='around'):\n    run({COUNT})\n"
    inside = "\n".join(f"    {line}" for line in CHILDREN[kind].splitlines())
    with OtlpSink() as sink:
        environment = environment_of(sink, SANDSCOPE_RECORDER=recorder, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run = run_program(program + inside, way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == 0, run.stderr
    names = [span.name for span in of_judge(sink.spans)]
    assert sorted(set(names)) == ["around", "ended", "running"]
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == COUNT + 2
    assert not boxes_in(tmp_path)


TERMINATED = f"""{PROGRAM}
import multiprocessing
context = multiprocessing.get_context("fork")
begun = context.Semaphore(0)
def work(_):
    run({COUNT} // 4)
    time.sleep(0.5)  # these are sent
    run({COUNT} // 4)
    with sandscope.execution("judge", "run", name="running"):
        begun.release()
        time.sleep(600)
with context.Pool(2) as pool:  # the end of the block terminates it
    pool.map_async(work, range(2), chunksize=1)
    begun.acquire()
    begun.acquire()
pool.join()
"""


@pytest.mark.parametrize("recorder", RECORDERS)
def test_the_workers_of_a_pool_that_is_terminated(recorder: str, tmp_path: Path) -> None:
    with OtlpSink() as sink:
        environment = environment_of(sink, SANDSCOPE_RECORDER=recorder, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run = run_program(TERMINATED, way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == 0, run.stderr
    assert "recovered 2 executions that ran when the program died" in run.stderr
    spans = of_judge(sink.spans)
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == COUNT + 2
    assert {log.span_id for log in of_judge(sink.logs)} == set(span_ids(sink))
    causes = [attribute_of(span, "sandbox.verdict.cause") for span in spans if span.name == "running"]
    assert causes == ["ie_host_killed"] * 2
    assert not boxes_in(tmp_path)


MIB = 1 << 20


def test_what_ran_when_the_kernel_killed_the_program_for_lack_of_memory(tmp_path: Path) -> None:
    end = "x = [bytearray(b'x') * (1 << 20) for _ in range(600)]"  # not more, should the limit not hold after all
    with OtlpSink() as sink, limited_memory(200 * MIB) as cgroup:
        environment = environment_of(sink, SANDSCOPE_BLACK_BOX=str(tmp_path))
        enter = f"open({str(cgroup / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
        run = run_program(dying_program(f"{enter}\n    {end}"), way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert "recovered 1 execution that ran when the program died" in run.stderr
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == COUNT + 1
    assert attribute_of(sink.span("running"), "sandbox.verdict.cause") == "ie_host_killed"
    assert not boxes_in(tmp_path)


def test_what_a_forked_child_drops_stays_in_its_parents_file() -> None:
    program = f"{PROGRAM}\nrun({COUNT})\nif os.fork() == 0:\n    os._exit(0)\nos.wait()\nkill()"
    with OtlpSink() as sink:
        run = run_program(program, way=SANDSCOPE_RUN, environment=environment_of(sink))
        assert run.returncode == -signal.SIGKILL, run.stderr
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == COUNT


def test_a_span_that_others_know_keeps_its_ids(tmp_path: Path) -> None:
    program = f"""{PROGRAM}
from opentelemetry import trace
run(1)
with sandscope.execution("judge", "run", name="running"):
    print(format(trace.get_current_span().get_span_context().span_id, "016x"), flush=True)
    with sandscope.execution("judge", "run", name="inner"):
        print(format(trace.get_current_span().get_span_context().span_id, "016x"), flush=True)
        kill()
"""
    with OtlpSink() as sink:
        environment = environment_of(sink, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run = run_program(program, way=SANDSCOPE_RUN, environment=environment)
    outer, inner = sink.span("running"), sink.span("inner")
    assert [outer.span_id.hex(), inner.span_id.hex()] == run.stdout.split()
    assert inner.parent_span_id == outer.span_id
    assert inner.trace_id == outer.trace_id


def test_the_report_shows_what_ran_when_the_program_was_killed(tmp_path: Path) -> None:
    requires_otelcol()
    data = str(tmp_path / "data")
    environment = clean_environment(
        SANDSCOPE_DATA=data, SANDSCOPE_BLACK_BOX=str(tmp_path / "box"), **collector_ports().environment
    )
    run = run_program(dying_program("kill()"), way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == -signal.SIGKILL
    assert "1 did not succeed (1 IE ie_host_killed)" in run.stderr
    command = [SANDSCOPE_RUN[0], "report", "--data", data]
    report = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=True).stdout
    assert report.startswith(f"{COUNT + 1} executions between")
    section = report.partition("What ran when its host was killed")[2].partition("The last that failed")[0]
    assert section.count("judge") == section.count("running") == 1, report


def test_what_is_recovered_says_what_it_lacks(tmp_path: Path) -> None:
    program = f"""{PROGRAM}
try:
    with sandscope.execution("judge", "run", name="failed") as execution:
        execution.set_attribute("answer", 42)
        raise ValueError("why")
except ValueError:
    crash()
"""
    with OtlpSink() as sink:
        environment = environment_of(sink, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run_program(program, way=SANDSCOPE_RUN, environment=environment)
    assert wait_until(lambda: sink.names() == ["failed"], timeout=1)
    span = sink.span("failed")
    assert attribute_of(span, "sandbox.verdict.cause") == "re_exception"
    assert attribute_of(span, "error.type") == "ValueError"
    assert attribute_of(span, "sandscope.recovered") == "ended"
    assert "sandscope.recovered.details_lost" in {attribute.key for attribute in span.attributes}
