"""Which recorder is used for a program, and that all its executions arrive with each of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from deferred._grpc_sink import GrpcSink
from harness import OtlpSink, clean_environment, run_program

WORK = """
import subprocess
from sandscope._setup import _recorder_setup
def run(n):
    for _ in range(n):
        subprocess.run(["true"], check=True)
"""
WHY = "\nprint(_recorder_setup.direct_reason())\n"
OWN_SPANS = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
kept = InMemorySpanExporter()
processor = SimpleSpanProcessor(kept)
"""
COUNT = """
import json
print(json.dumps([len(kept.get_finished_spans())]))
"""


def _run(program: str, sink: OtlpSink | GrpcSink, **variables: str) -> str:
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **variables)
    run = run_program(program, environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def _sum(metrics: Iterable[Any], name: str = "sandbox.executions") -> dict[Any, int]:
    """Return the last value of each series of a counter; metrics are cumulative."""
    series: dict[Any, int] = {}
    for metric in metrics:
        if metric.name == name:
            for point in metric.sum.data_points:
                key = frozenset((a.key, a.value.string_value) for a in point.attributes)
                series[key] = max(point.as_int, series.get(key, 0))
    return series


def test_deferred_is_the_default() -> None:
    with OtlpSink() as sink:
        assert _run(WORK + "run(5)" + WHY, sink) == "\n"
    assert (len(sink.spans), len(sink.logs), sum(_sum(sink.metrics).values())) == (5, 5, 5)
    records = _sum(sink.metrics, "sandscope.recorder.records")
    assert sum(records.values()) == 10
    assert all(("sandscope.outcome", "sent") in key for key in records)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"SANDSCOPE_RECORDER": "direct"}, "SANDSCOPE_RECORDER=direct\n"),
        ({"OTEL_LOGS_EXPORTER": "otlp,console"}, "there is more than one exporter\n"),
    ],
)
def test_direct_where_it_has_to_be(variables: dict[str, str], why: str) -> None:
    with OtlpSink() as sink:
        said = _run(WORK + "run(5)" + WHY, sink, **variables)
    assert why in said
    assert (len(sink.spans), len(sink.logs), sum(_sum(sink.metrics).values())) == (5, 5, 5)


def test_a_provider_that_the_program_sets_is_used() -> None:
    own = OWN_SPANS + "own = TracerProvider(); own.add_span_processor(processor)\n"
    program = WORK + own + "run(2)\ntrace.set_tracer_provider(own)\nrun(3)" + COUNT + WHY
    with OtlpSink() as sink:
        counted, why = _run(program, sink).splitlines()
    assert json.loads(counted) == [3]
    assert why == "the program has set its own providers"
    assert (len(sink.spans), len(sink.logs), sum(_sum(sink.metrics).values())) == (2, 5, 5)


def test_a_processor_that_is_added_later_gets_the_executions_that_begin_afterwards() -> None:
    program = (
        WORK
        + OWN_SPANS
        + """
run(2)
under_way = subprocess.Popen(["sleep", "0.3"])
trace.get_tracer_provider().add_span_processor(processor)
run(3)
under_way.wait()
"""
        + COUNT
        + WHY
    )
    with OtlpSink() as sink:
        counted, why = _run(program, sink).splitlines()
    assert json.loads(counted) == [3]
    assert why == "the program has added a processor, which must receive every record"
    assert sorted(span.name for span in sink.spans) == ["sleep", *["true"] * 5]
    assert (len(sink.logs), sum(_sum(sink.metrics).values())) == (6, 6)


def test_a_log_record_processor_that_is_added_later_gets_later_records() -> None:
    program = (
        WORK
        + """
from opentelemetry import _logs
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
kept = InMemoryLogRecordExporter()
run(2)
_logs.get_logger_provider().add_log_record_processor(SimpleLogRecordProcessor(kept))
run(3)
print(len(kept.get_finished_logs()))
"""
    )
    with OtlpSink() as sink:
        assert _run(program, sink) == "3\n"
    assert (len(sink.spans), len(sink.logs)) == (5, 5)


def test_metrics_alone() -> None:
    variables = {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    with OtlpSink() as sink:
        assert _run(WORK + "run(5)" + WHY, sink, **variables) == "\n"
    assert (sink.spans, sink.logs) == ([], [])
    assert sum(_sum(sink.metrics).values()) == 5
    assert _sum(sink.metrics, "sandscope.recorder.records") == {}, (
        "records of a signal that is not exported do not count as lost"
    )


def test_an_exporter_of_another_kind_gets_the_sdks_objects() -> None:
    variables = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none"}
    with OtlpSink() as sink:
        said = _run(WORK + "run(2)" + WHY, sink, **variables)
    assert said.count('"name": "true"') == 2
    assert (sink.spans, len(sink.logs)) == ([], 2)


@pytest.mark.parametrize("sampler", ["always_off", "traceidratio"])
def test_samplers_of_the_environment(sampler: str) -> None:
    with OtlpSink() as sink:
        _run(WORK + "run(40)", sink, OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG="0.5")
    sampled = {log.trace_id for log in sink.logs if log.flags & 1}
    assert len(sink.logs) == sum(_sum(sink.metrics).values()) == 40
    assert {span.trace_id for span in sink.spans} == sampled
    assert len(sink.spans) == len(sampled)
    assert (len(sampled) == 0) if sampler == "always_off" else (0 < len(sampled) < 40)


def test_grpc() -> None:
    with GrpcSink() as sink:
        assert _run(WORK + "run(5)" + WHY, sink, OTEL_EXPORTER_OTLP_PROTOCOL="grpc") == "\n"
    assert [span.name for span in sink.spans] == ["true"] * 5
    assert {log.span_id for log in sink.logs} == {span.span_id for span in sink.spans}
    assert sum(_sum(sink.metrics).values()) == 5


ENDS = {
    "sys.exit": "import sys; run(3); sys.exit(0)",
    "exit handler": "import atexit; run(2); atexit.register(run, 1)",
    "program shut it down": """
from opentelemetry import trace, _logs, metrics
run(3)
for provider in (trace.get_tracer_provider(), _logs.get_logger_provider(), metrics.get_meter_provider()):
    provider.shutdown()
run(2)
""",
    "program flushed": """
from opentelemetry import trace
run(3)
assert trace.get_tracer_provider().force_flush()
assert trace.get_tracer_provider().force_flush(1)
""",
    "thread": """
import sys, threading
def work():
    run(1)
    sys.exit(1)
threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
""",
}


@pytest.mark.parametrize("end", ENDS)
def test_executions_arrive_however_the_program_ends(end: str) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(WORK + ENDS[end], environment=environment)
    assert run.returncode == 0
    assert "Traceback" not in run.stderr
    assert (len(sink.spans), len(sink.logs)) == (3, 3)
    assert sum(_sum(sink.metrics).values()) == 3
