"""A program that configures OpenTelemetry itself keeps its configuration."""

from __future__ import annotations

import pytest

from harness import OtlpSink, clean_environment, run_program

OWN = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""
WORK = """
import subprocess
with trace.get_tracer("mine").start_as_current_span("outer"):
    subprocess.run(["true"])
assert trace.get_tracer_provider() is provider
print(sorted(span.name for span in exporter.get_finished_spans()))
"""
AUTO = "import sandscope.auto\n"
IMPORTED = "from opentelemetry.trace import set_tracer_provider\n"
OWN_IMPORTED = OWN.replace("trace.set_tracer_provider(", "set_tracer_provider(")


@pytest.mark.parametrize(
    ("program", "way"),
    [
        pytest.param(OWN + WORK, None, id="wrapper"),
        pytest.param(AUTO + OWN + WORK, (), id="auto-first"),
        pytest.param(OWN + AUTO + WORK, (), id="auto-last"),
        pytest.param(IMPORTED + AUTO + OWN_IMPORTED + WORK, (), id="function-imported-first"),
    ],
)
def test_the_programs_tracer_provider_gets_the_spans_of_executions(
    program: str, way: tuple[str, ...] | None
) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        keywords = {} if way is None else {"way": way}
        run = run_program(program, environment=environment, **keywords)  # type: ignore[arg-type]
    assert (run.returncode, run.stdout, run.stderr) == (0, "['outer', 'true']\n", "")
    assert sink.spans == []
    assert len(sink.logs) == 1, "the other signals still go to the Collector"


def test_a_second_provider_is_refused_as_without_instrumentation() -> None:
    program = (
        OWN + "trace.set_tracer_provider(TracerProvider()); print(trace.get_tracer_provider() is provider)"
    )
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(program, environment=environment)
    assert run.stdout == "True\n"
    assert "Overriding of current TracerProvider is not allowed" in run.stderr
