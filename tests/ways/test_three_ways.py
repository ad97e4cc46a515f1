"""An unmodified program in a separate process is instrumented in each of the three ways."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import ROOT, STOCK, OtlpSink, clean_environment, run_program

APP = ROOT / "examples" / "three_ways" / "app.py"
OUTPUT = "6 / 3 = 2\n1 / 0: TrapCode.INTEGER_DIVISION_BY_ZERO\nhello from a child\n"
SPANS = sorted([Path(sys.executable).name, "wasm divide", "wasm divide"])


def _statuses(sink: OtlpSink) -> list[str]:
    return sorted(
        attribute.value.string_value
        for span in sink.spans
        for attribute in span.attributes
        if attribute.key == "sandbox.verdict.status"
    )


@pytest.mark.parametrize("way", ["stock", "auto"])
def test_the_program_is_unchanged_and_its_executions_arrive(way: str, tmp_path: Path) -> None:
    program = APP
    if way == "auto":
        program = tmp_path / "app.py"
        program.write_text("import sandscope.auto\n" + APP.read_text())
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(program, way=STOCK if way == "stock" else (), environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, OUTPUT, "")
    assert sink.names() == SPANS
    assert _statuses(sink) == ["OK", "OK", "RE"]
    assert len([log for log in sink.logs if log.event_name == "sandbox.execution"]) == 3
    assert {"sandbox.executions", "sandbox.execution.duration", "sandbox.execution.active"} <= {
        metric.name for metric in sink.metrics
    }
    assert sink.resources[0]["service.name"] == "app"


def test_auto_imports_no_runtime() -> None:
    program = """
import sys
before = {"subprocess", "wasmtime", "torch"} & set(sys.modules)
import sandscope.auto
print(({"wasmtime", "torch"} & set(sys.modules)) - before)
"""
    run = run_program(program, way=(), environment=clean_environment(OTEL_SDK_DISABLED="true"))
    assert (run.returncode, run.stdout) == (0, "set()\n"), run.stderr


@pytest.mark.parametrize("first", ["sandscope.auto", "wasmtime"])
def test_auto_patches_in_any_order(first: str) -> None:
    second = "wasmtime" if first == "sandscope.auto" else "sandscope.auto"
    program = f"""
import {first}
import {second}
import wasmtime
store = wasmtime.Store()
module = wasmtime.Module(store.engine, '(module (func (export "run")))')
wasmtime.Instance(store, module, []).exports(store)["run"](store)
"""
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(program, way=(), environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert sink.names() == ["wasm run"]


def test_an_instrumentor_counts_as_one_of_opentelemetry() -> None:
    code = (
        "from opentelemetry.instrumentation.instrumentor import BaseInstrumentor\n"
        "from sandscope_instrumentation_subprocess import SubprocessInstrumentor\n"
        "print(isinstance(SubprocessInstrumentor(), BaseInstrumentor))\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"


def test_auto_under_the_stock_wrapper_sets_up_once() -> None:
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(
            "import sandscope.auto, subprocess; subprocess.run(['true'])", environment=environment
        )
    assert (run.returncode, run.stderr) == (0, "")
    assert sink.names() == ["true"]


def test_every_otel_variable_keeps_its_meaning() -> None:
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            OTEL_TRACES_EXPORTER="none",
            OTEL_SERVICE_NAME="mine",
            OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="wasmtime",
        )
        run = run_program(APP, environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert sink.spans == []
    assert {resource["service.name"] for resource in sink.resources} == {"mine"}
    assert len(sink.logs) == 1, "the child only"


def test_the_console_exporter_works() -> None:
    environment = clean_environment(
        OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none"
    )
    run = run_program("import subprocess; subprocess.run(['true'])", environment=environment)
    assert '"name": "true"' in run.stdout


def test_the_environment_is_not_changed() -> None:
    """Sandscope's defaults are not in the program's environment, which its children inherit."""
    program = "import os; print(sorted(n for n in os.environ if n.startswith(('OTEL_', 'SANDSCOPE_'))))"
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    given = sorted(name for name in environment if name.startswith(("OTEL_", "SANDSCOPE_")))
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in given
    assert run_program(program, environment=environment).stdout == f"{given}\n"


@pytest.mark.parametrize(
    ("variable", "value"), [("SANDSCOPE_BAGGAGE", "perhaps"), ("SANDSCOPE_EXIT_TIMEOUT", "-1")]
)
def test_an_invalid_setting_is_an_error_at_start(variable: str, value: str) -> None:
    run = run_program("import sandscope.auto", way=(), environment=clean_environment(**{variable: value}))
    assert run.returncode == 1
    assert f"Cannot read {variable}={value!r}" in run.stderr
