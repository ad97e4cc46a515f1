"""Beside ddtrace, with and without its own tracer provider for OpenTelemetry."""

from __future__ import annotations

import pytest

from beside._executions import AUTO, EXECUTIONS, OUTPUT, RUN, SPANS, execution_logs, executions
from harness import OtlpSink, clean_environment, run_program
from harness._packages import environment_with

DDTRACE = "import ddtrace.auto\n"


@pytest.mark.parametrize(
    ("program", "way", "provider"),
    [
        pytest.param(AUTO + DDTRACE + RUN, (), "opentelemetry", id="auto-first"),
        pytest.param(DDTRACE + AUTO + RUN, (), "ddtrace", id="auto-last"),
    ],
)
def test_the_program_is_unchanged_and_the_counts_are_exact(
    program: str, way: tuple[str, ...], provider: str
) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            DD_TRACE_OTEL_ENABLED=str(provider == "ddtrace").lower(),
            DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
            DD_REMOTE_CONFIGURATION_ENABLED="false",
            DD_TRACE_AGENT_URL="http://127.0.0.1:9",
            **environment_with("ddtrace==4.16.0"),
        )
        run = run_program(program, way=way, environment=environment)
    assert (run.returncode, run.stdout) == (0, OUTPUT)
    said = [line for line in run.stderr.splitlines() if "failed to send, dropping" not in line]
    assert said == [], "only ddtrace says that there is no agent"
    assert sink.names() == ([] if provider == "ddtrace" else SPANS)
    assert execution_logs(sink) == len(SPANS)
    assert executions(sink) == EXECUTIONS
