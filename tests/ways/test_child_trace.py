"""A Python child of an instrumented program continues its parent's trace, in all its threads."""

from __future__ import annotations

import sys

import pytest

from harness import OtlpSink, clean_environment, run_program

CHILD = """
import _thread, subprocess, threading
from opentelemetry import trace
def work(name):
    with trace.get_tracer("child").start_as_current_span(name):
        pass
work("main")
thread = threading.Thread(target=work, args=["thread"])
thread.start(); thread.join()
done = threading.Event()
_thread.start_new_thread(lambda: (work("bare"), done.set()), ())
done.wait(60)
subprocess.run(["true"])
"""
PARENT = f"""
import subprocess, sys
from opentelemetry import trace
with trace.get_tracer("parent").start_as_current_span("parent"):
    subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
"""


@pytest.mark.parametrize("way", ["stock", "auto"])
def test_all_spans_are_one_trace(way: str) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        if way == "stock":
            run = run_program(PARENT, environment=environment)
        else:
            auto = "import sandscope.auto\n"
            run = run_program(
                auto + PARENT.replace('"-c", ', f'"-c", {auto!r} + '), way=(), environment=environment
            )
    assert (run.returncode, run.stderr) == (0, "")
    assert len({span.trace_id for span in sink.spans}) == 1
    python = sink.span(sys.executable.rpartition("/")[2])
    assert python.parent_span_id == sink.span("parent").span_id
    for name in ("main", "thread", "bare", "true"):
        assert sink.span(name).parent_span_id == python.span_id, name


def test_a_stale_or_invalid_parent_is_ignored() -> None:
    program = "import subprocess; subprocess.run(['true'])"
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, TRACEPARENT="00-not-a-parent-01"
        )
        run = run_program(program, environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert sink.span("true").parent_span_id == b""
