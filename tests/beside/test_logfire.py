"""Beside logfire, which replaces the global providers with its own: in any order."""

from __future__ import annotations

import pytest

from beside._executions import AUTO, EXECUTIONS, OUTPUT, RUN, SPANS, execution_logs
from harness import STOCK, OtlpSink, clean_environment, run_program
from harness._packages import environment_with

LOGFIRE = """
import logfire
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
"""
CONFIGURE = """
logfire.configure(
    send_to_logfire=False,
    console=False,
    additional_span_processors=[SimpleSpanProcessor(spans)],
    metrics=logfire.MetricsOptions(additional_readers=[metrics]),
)
"""
SHOW = """
print(sorted(span.name for span in spans.get_finished_spans()))
counts = {}
for resource in metrics.get_metrics_data().resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            if metric.name == "sandbox.executions":
                for point in metric.data.data_points:
                    runtime = point.attributes["sandbox.runtime"]
                    counts[runtime] = counts.get(runtime, 0) + point.value
print(dict(sorted(counts.items())))
"""


@pytest.mark.parametrize(
    ("program", "way"),
    [
        pytest.param(LOGFIRE + CONFIGURE, STOCK, id="wrapper"),
        pytest.param(AUTO + LOGFIRE + CONFIGURE, (), id="auto-first"),
        pytest.param(LOGFIRE + AUTO + CONFIGURE, (), id="auto-between"),
        pytest.param(LOGFIRE + CONFIGURE + AUTO, (), id="auto-last"),
    ],
)
def test_logfire_gets_each_execution_once(program: str, way: tuple[str, ...]) -> None:
    with OtlpSink() as sink:  # logfire exports there, too
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **environment_with("logfire==5.2.0")
        )
        run = run_program(program + RUN + SHOW, way=way, environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{OUTPUT}{SPANS}\n{EXECUTIONS}\n"
    assert sink.names() == SPANS
    assert execution_logs(sink) == len(SPANS)
