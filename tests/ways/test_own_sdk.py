"""A program's own readers, views, samplers and temporality get every execution once."""

from __future__ import annotations

import pytest

from beside._executions import AUTO, EXECUTIONS, OUTPUT, RUN, SPANS, execution_logs, executions
from harness import STOCK, OtlpSink, clean_environment, run_program

PROMETHEUS = """
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
metrics.set_meter_provider(MeterProvider(metric_readers=[PrometheusMetricReader()]))
"""
SHOW_PROMETHEUS = """
from prometheus_client import REGISTRY
samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
counts = {}
for sample in samples:
    if sample.name == "sandbox_executions_total":
        runtime = sample.labels["sandbox_runtime"]
        counts[runtime] = counts.get(runtime, 0) + int(sample.value)
print(dict(sorted(counts.items())))
"""
VIEWS = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View
reader = InMemoryMetricReader()
views = [
    View(instrument_name="sandbox.executions", attribute_keys={"sandbox.runtime"}),
    View(instrument_name="sandbox.execution.duration"),
    View(instrument_name="*", aggregation=DropAggregation()),
]
class ProxyMeterProvider(MeterProvider):
    __hash__ = None  # both, as logfire's
metrics.set_meter_provider(ProxyMeterProvider([reader], views=views))
"""
SHOW_VIEWS = """
(resource,) = reader.get_metrics_data().resource_metrics
found = [metric for scope in resource.scope_metrics for metric in scope.metrics]
points = [p for metric in found if metric.name == "sandbox.executions" for p in metric.data.data_points]
print(dict(sorted((p.attributes["sandbox.runtime"], p.value) for p in points)))
assert {metric.name for metric in found} == {"sandbox.executions", "sandbox.execution.duration"}
"""


@pytest.mark.parametrize(
    ("program", "show", "way"),
    [
        pytest.param(PROMETHEUS, SHOW_PROMETHEUS, STOCK, id="prometheus"),
        pytest.param(PROMETHEUS + AUTO, SHOW_PROMETHEUS, (), id="prometheus-auto-last"),
        pytest.param(VIEWS, SHOW_VIEWS, STOCK, id="views"),
        pytest.param(VIEWS + AUTO, SHOW_VIEWS, (), id="views-auto-last"),
    ],
)
def test_a_meter_provider_of_the_program(program: str, show: str, way: tuple[str, ...]) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(program + RUN + show, way=way, environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{OUTPUT}{EXECUTIONS}\n"
    assert executions(sink) == {}
    assert sink.names() == SPANS
    assert execution_logs(sink) == len(SPANS)


def test_delta_temporality() -> None:
    program = RUN + "import time; time.sleep(0.5); run_all(); time.sleep(0.5)\n"
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
            OTEL_METRIC_EXPORT_INTERVAL="100",
        )
        run = run_program(program, environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, 2 * OUTPUT, "")
    assert executions(sink) == {runtime: 2 * count for runtime, count in EXECUTIONS.items()}
    temporalities = {m.sum.aggregation_temporality for m in sink.metrics if m.name == "sandbox.executions"}
    assert temporalities == {1}


@pytest.mark.parametrize(
    ("sampler", "argument", "recorder"),
    [
        ("always_off", "", "direct"),
        ("traceidratio", "0.0", "auto"),
    ],
)
def test_a_sampler_decides_on_spans_only(sampler: str, argument: str, recorder: str) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            OTEL_TRACES_SAMPLER=sampler,
            OTEL_TRACES_SAMPLER_ARG=argument,
            SANDSCOPE_RECORDER=recorder,
        )
        run = run_program(RUN, environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, OUTPUT, "")
    assert sink.names() == []
    assert executions(sink) == EXECUTIONS
    assert execution_logs(sink) == len(SPANS)
