"""However the parent starts its children, and whichever of them dies, what was sent arrives."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import STOCK, OtlpSink, run_program, wait_until
from ways.relay._sandboxes import attributes, environment, outcomes, parent, sandbox


def test_a_pool_in_the_child() -> None:
    guest = """
import multiprocessing
from opentelemetry import trace
def work(number):
    with trace.get_tracer("guest").start_as_current_span(f"task {number}"):
        return number
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert sorted(pool.map(work, range(40), chunksize=1)) == list(range(40))
"""
    with OtlpSink() as sink:
        run = run_program(parent([sys.executable, "-c", guest]), environment=environment(sink))
    assert (run.returncode, run.stderr) == (0, "")
    assert {f"task {number}" for number in range(40)} <= {*sink.names()}
    assert len({span.trace_id for span in sink.spans}) == 1


def test_posix_spawn() -> None:
    program = """
import os, sys
guest = '''
from opentelemetry import trace
with trace.get_tracer("guest").start_as_current_span("spawned"):
    pass
'''
for actions in (None, [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]):
    options = {} if actions is None else {"file_actions": actions}
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", guest], os.environ, **options)
    assert os.waitpid(pid, 0)[1] == 0
"""
    with OtlpSink() as sink:
        run = run_program(program, environment=environment(sink))
    assert (run.returncode, run.stderr) == (0, "")
    assert sink.names().count("spawned") == 2
    assert outcomes(sink)["span", "relayed"] == 2


def test_a_parent_that_is_killed_leaves_a_child_that_goes_on(tmp_path: Path) -> None:
    """Also one that wants SIGPIPE to end it."""
    done, begun = tmp_path / "done", tmp_path / "begun"
    guest = f"""
import os, pathlib, signal, time
from opentelemetry import trace
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
parent = os.getppid()
pathlib.Path({str(begun)!r}).touch()
while os.getppid() == parent:
    time.sleep(0.01)
for _ in range(3000):
    with trace.get_tracer("guest").start_as_current_span("orphan"):
        pass
trace.get_tracer_provider().force_flush()
pathlib.Path({str(done)!r}).touch()
"""
    with OtlpSink() as sink:
        command = [*STOCK, sys.executable, "-c", parent([sys.executable, "-c", guest])]
        with subprocess.Popen(command, env=environment(sink), stdout=subprocess.DEVNULL) as process:
            assert wait_until(begun.exists)
            process.send_signal(signal.SIGKILL)
        assert wait_until(done.exists)
    assert "orphan" not in sink.names()


def test_a_child_that_is_killed_has_sent_what_it_had_exported() -> None:
    guest = """
import os, signal
from opentelemetry import trace
with trace.get_tracer("guest").start_as_current_span("before"):
    pass
trace.get_tracer_provider().force_flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    with OtlpSink() as sink:
        run = run_program(parent([sys.executable, "-c", guest]), environment=environment(sink))
    assert (run.returncode, run.stderr) == (247, "")
    assert sink.span("before").parent_span_id == sink.span(Path(sys.executable).name).span_id


SPAN = """
from opentelemetry import trace
with trace.get_tracer("guest").start_as_current_span("inner"):
    pass
"""


def test_a_child_of_the_child_sends_through_both() -> None:
    guest = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPAN!r}], check=True)"
    with OtlpSink() as sink:
        command = [*sandbox("seccomp"), sys.executable, "-c", guest]
        run = run_program(parent(command), environment=environment(sink))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    outer, between = [span for span in sink.spans if span.name == Path(sys.executable).name]
    if "sandbox.relayed" in attributes(outer):
        outer, between = between, outer
    assert sink.span("inner").parent_span_id == between.span_id
    assert between.parent_span_id == outer.span_id
    assert outer.parent_span_id == sink.span("parent").span_id
    assert len({span.trace_id for span in sink.spans}) == 1


ASYNCIO = """
import asyncio
async def main():
    process = await asyncio.create_subprocess_exec(*command)
    await process.wait()
asyncio.run(main())
"""
FORK = """
run(0)
if os.fork() == 0:
    run(1)
    os._exit(0)
os.wait()
"""
POOL = """
run(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    pool.map(run, range(3), chunksize=1)
"""
THREADS = """
threads = [threading.Thread(target=run, args=[number]) for number in range(5)]
for each in threads:
    each.start()
for each in threads:
    each.join()
"""


@pytest.mark.parametrize(
    ("program", "children"),
    [
        pytest.param("run(0)\nos._exit(0)", 1, id="_exit"),
        pytest.param(FORK, 2, id="fork"),
        pytest.param(POOL, 4, id="pool"),
        pytest.param(ASYNCIO, 1, id="asyncio"),
        pytest.param(THREADS, 5, id="threads"),
        pytest.param("run(0, preexec_fn=lambda: None)", 1, id="preexec_fn"),
        pytest.param("run(0, env={'PYTHONPATH': os.environ['PYTHONPATH']})", 1, id="env"),
    ],
)
def test_however_the_program_starts_its_children_and_ends(program: str, children: int) -> None:
    before = f"""
import multiprocessing, os, subprocess, sys, threading
command = [sys.executable, "-c", {SPAN!r}]
def run(number, **options):
    subprocess.run(command, check=True, **options)
"""
    with OtlpSink() as sink:
        run = run_program(before + program, environment=environment(sink))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert sink.names().count("inner") == children
    executions = {span.span_id for span in sink.spans if "sandbox.relayed" not in attributes(span)}
    assert {span.parent_span_id for span in sink.spans if span.name == "inner"} == executions
