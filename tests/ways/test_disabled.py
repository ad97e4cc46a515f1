"""``OTEL_SDK_DISABLED=true``: nothing is patched, recorded or sent, whatever the way in."""

from __future__ import annotations

import subprocess

import pytest

from beside._executions import AUTO, OUTPUT, RUN
from harness import SANDSCOPE_RUN, STOCK, OtlpSink, clean_environment, run_program

UNPATCHED = """
assert wasmtime.Func.__call__.__module__ == "wasmtime._func", wasmtime.Func.__call__
assert subprocess.Popen._execute_child.__module__ == "subprocess", subprocess.Popen._execute_child
environment = subprocess.run(["env"], capture_output=True, text=True).stdout
assert "TRACEPARENT" not in environment
"""
BY_HAND = """
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
instrumentors = SubprocessInstrumentor(), WasmtimeInstrumentor()
for instrumentor in instrumentors:
    instrumentor.instrument()
"""
UNINSTRUMENT = "for instrumentor in instrumentors: instrumentor.uninstrument()\n"
MANUAL = """
import sandscope
with sandscope.execution("docker", "run") as run:
    run.set_attributes({"a": 1})
    assert "TRACEPARENT" not in run.environment()
@sandscope.execution("docker", "run")
def function(): return "called"
assert function() == "called"
"""


@pytest.mark.parametrize(
    ("program", "way"),
    [
        pytest.param(RUN + UNPATCHED, STOCK, id="opentelemetry-instrument"),
        pytest.param(AUTO + RUN + UNPATCHED + MANUAL, (), id="auto"),
        pytest.param(BY_HAND + RUN + UNPATCHED + UNINSTRUMENT + MANUAL, (), id="by-hand"),
    ],
)
def test_nothing_is_patched_recorded_or_sent(program: str, way: tuple[str, ...]) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            OTEL_SDK_DISABLED="True",
            OTEL_METRIC_EXPORT_INTERVAL="50",
        )
        run = run_program(program, way=way, environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, OUTPUT, "")
    assert sink.requests == 0


def test_sandscope_run_starts_no_collector() -> None:
    environment = clean_environment(OTEL_SDK_DISABLED="true")
    run = run_program(RUN + UNPATCHED + MANUAL, way=SANDSCOPE_RUN, environment=environment)
    assert (run.returncode, run.stdout) == (0, OUTPUT)
    assert run.stderr == (
        "sandscope: nothing is recorded and no Collector is started: OTEL_SDK_DISABLED is true\n"
    )


def test_doctor_says_so() -> None:
    environment = clean_environment(OTEL_SDK_DISABLED="true")
    command = [SANDSCOPE_RUN[0], "doctor"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert "-- recorder    off: OTEL_SDK_DISABLED is true" in run.stdout
