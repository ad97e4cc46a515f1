"""Declarative configuration: the file sets up the SDK, or one line says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from beside._executions import AUTO, EXECUTIONS, OUTPUT, RUN, SPANS, execution_logs, executions
from harness import STOCK, OtlpSink, clean_environment, run_program
from harness._packages import environment_with

FILE = """
file_format: "1.0"
resource: {attributes: [{name: service.name, value: from the file}]}
propagator: {composite: [{tracecontext: }]}
tracer_provider: {processors: [{batch: {exporter: {otlp_http: {endpoint: "${ENDPOINT}/v1/traces"}}}}]}
meter_provider: {readers: [{periodic: {exporter: {otlp_http: {endpoint: "${ENDPOINT}/v1/metrics"}}}}]}
logger_provider: {processors: [{batch: {exporter: {otlp_http: {endpoint: "${ENDPOINT}/v1/logs"}}}}]}
"""
VARIABLES = ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")


def _installed() -> dict[str, str]:
    return environment_with("opentelemetry-configuration==0.66b2")


@pytest.mark.parametrize(
    ("program", "way", "variable"),
    [
        pytest.param(RUN, STOCK, VARIABLES[0], id="wrapper"),
        pytest.param(AUTO + RUN, (), VARIABLES[1], id="auto"),
    ],
)
def test_the_file_sets_up_the_sdk(program: str, way: tuple[str, ...], variable: str, tmp_path: Path) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text(FILE)
    with OtlpSink() as sink:
        environment = clean_environment(**{variable: str(file)}, ENDPOINT=sink.endpoint, **_installed())
        run = run_program(program, way=way, environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, OUTPUT, "")
    assert sink.names() == SPANS
    assert executions(sink) == EXECUTIONS
    assert execution_logs(sink) == len(SPANS)
    assert {resource["service.name"] for resource in sink.resources} == {"from the file"}


def test_a_file_for_one_signal(tmp_path: Path) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text("\n".join(line for line in FILE.splitlines() if not line.startswith(("meter", "logger"))))
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_CONFIG_FILE=str(file), ENDPOINT=sink.endpoint, **_installed())
        run = run_program(RUN, environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, OUTPUT, "")
    assert (sink.names(), executions(sink), execution_logs(sink)) == (SPANS, {}, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file_format: [", "Failed to parse YAML"),
        (None, "Configuration file not found"),
    ],
)
def test_one_line_says_what_is_wrong_with_the_file(text: str | None, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "otel.yaml"
    if text is not None:
        file.write_text(text)
    environment = clean_environment(OTEL_CONFIG_FILE=str(file), **_installed())
    run = run_program(RUN, environment=environment)
    assert (run.returncode, run.stdout) == (0, OUTPUT)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"Cannot set up OpenTelemetry from OTEL_CONFIG_FILE={file}: {reason}")
    assert line.endswith("Correct the file or the variable. Nothing is recorded.")


@pytest.mark.parametrize(
    ("program", "way", "variable"),
    [
        pytest.param(RUN, STOCK, VARIABLES[1], id="wrapper"),
        pytest.param(AUTO + RUN, (), VARIABLES[0], id="auto"),
    ],
)
def test_one_line_says_what_to_install(program: str, way: tuple[str, ...], variable: str) -> None:
    run = run_program(program, way=way, environment=clean_environment(**{variable: "/otel.yaml"}))
    assert (run.returncode, run.stdout) == (0, OUTPUT)
    assert run.stderr == (
        f"Cannot read {variable}=/otel.yaml: opentelemetry-configuration is not installed. "
        "Install it (`pip install opentelemetry-configuration`), or unset the variable. Nothing is recorded.\n"
    )
