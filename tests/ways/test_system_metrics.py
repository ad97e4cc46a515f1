"""Metrics of the machine, the process and the interpreter: if asked for, and not before the first execution."""

from __future__ import annotations

import pytest

from harness import STOCK, OtlpSink, clean_environment, run_program
from sandscope import SandscopeError, _installed, _settings

ASKED = {"SANDSCOPE_SYSTEM_METRICS": "true"}
SOME = {"system.cpu.utilization", "system.memory.usage", "process.memory.usage", "cpython.gc.collections"}
COSTLY = {"system.network.connections", "system.thread_count", "process.runtime.memory"}
LOADED = "import sys; print('opentelemetry.instrumentation.system_metrics' in sys.modules)"
CHILD = "import subprocess; subprocess.run(['true'])"
EXECUTION = "import sandscope\nwith sandscope.execution('a', 'b'): pass"
CHILD_WITH_A_LARGE_MEMORY = """
import os, subprocess, sandscope
subprocess.run(["true"])
if not (pid := os.fork()):
    kept = b"x" * 200_000_000
    with sandscope.execution("fork", "child"):
        pass
    raise SystemExit
os.waitpid(pid, 0)
"""


def run(program: str, way: str, **variables: str) -> tuple[OtlpSink, str]:
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **variables)
        if way == "sandscope.auto":
            program = f"import sandscope.auto\n{program}"
        done = run_program(program, way=STOCK if way == "stock" else (), environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return sink, done.stdout


def names(sink: OtlpSink) -> set[str]:
    return {metric.name for metric in sink.metrics}


each_way = pytest.mark.parametrize("way", ["stock", "sandscope.auto"])


@pytest.mark.parametrize(
    ("way", "recorder", "program"),
    [
        ("stock", "auto", CHILD),
        ("stock", "direct", EXECUTION),
        ("sandscope.auto", "auto", EXECUTION),
        ("sandscope.auto", "python", CHILD),
    ],
)
def test_they_begin_with_the_first_execution(way: str, recorder: str, program: str) -> None:
    sink, _ = run(program, way, **ASKED, SANDSCOPE_RECORDER=recorder)
    assert names(sink) >= SOME
    assert not names(sink) & COSTLY


@each_way
def test_the_variable_of_opentelemetry_says_which(way: str) -> None:
    sink, _ = run(CHILD, way, **ASKED, OTEL_PYTHON_SYSTEM_METRICS_EXCLUDED_METRICS="system.*,cpython.*")
    assert "process.memory.usage" in names(sink)
    assert not [name for name in names(sink) if name.startswith(("system.", "cpython."))]


@each_way
def test_a_program_without_executions_does_not_load_them(way: str) -> None:
    sink, said = run(LOADED, way, **ASKED)
    assert said == "False\n"
    assert names(sink) == set()


@each_way
@pytest.mark.parametrize(
    "variables",
    [
        {},
        ASKED | {"OTEL_SDK_DISABLED": "true"},
        ASKED | {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "system_metrics"},
    ],
    ids=["default", "OTEL_SDK_DISABLED", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"],
)
def test_there_are_none_unless_asked_for(way: str, variables: dict[str, str]) -> None:
    sink, said = run(f"{CHILD}\n{LOADED}", way, **variables)
    assert said == "False\n"
    assert not names(sink) & SOME


def test_a_forked_child_has_its_own_figures() -> None:
    sink, _ = run(CHILD_WITH_A_LARGE_MEMORY, "stock", **ASKED)
    used = [
        point.as_int
        for m in sink.metrics
        if m.name == "process.memory.usage"
        for point in m.gauge.data_points
    ]
    used += [p.as_int for m in sink.metrics if m.name == "process.memory.usage" for p in m.sum.data_points]
    assert max(used) - min(used) > 150_000_000


def test_what_is_not_installed_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_installed, "instrumentations", lambda _path: set())
    monkeypatch.setenv(_settings.SYSTEM_METRICS, "false")
    _settings.check()
    monkeypatch.setenv(_settings.SYSTEM_METRICS, "true")
    with pytest.raises(SandscopeError, match=r"pip install 'sandscope\[system\]'"):
        _settings.check()
