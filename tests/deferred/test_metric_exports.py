"""Metrics are exported soon after a measurement, and less often while a program is busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from deferred._programs import Program
from harness import wait_until
from sandscope import _internals
from sandscope._deferred import _metric_exports
from sandscope._deferred._metric_exports import MetricExports


class Exporting(MetricExporter):
    """Counts exports."""

    def __init__(self) -> None:
        super().__init__()
        self.exports = 0

    def export(self, *_args: object, **_more: object) -> MetricExportResult:
        self.exports += 1
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_more: object) -> None:
        pass


class KeepingExemplars(Exporting):
    """Keeps how many exemplars each metric had."""

    def __init__(self) -> None:
        super().__init__()
        self.exemplars: dict[str, int] = {}

    def export(self, metrics_data: MetricsData, *_args: object, **_more: object) -> MetricExportResult:
        for resource in metrics_data.resource_metrics:
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                points = metric.data.data_points
                self.exemplars[metric.name] = sum(len(point.exemplars) for point in points)
        return super().export()


@pytest.fixture
def exports() -> Iterator[MetricExports]:
    times.clear()
    exports = MetricExports(lambda: times.append(time.monotonic()))
    yield exports
    exports.close()


times: list[float] = []


def test_the_metrics_of_an_execution_are_exported_without_waiting_for_the_interval() -> None:
    exporter = Exporting()
    program = Program(readers=[PeriodicExportingMetricReader(exporter)])  # every 60 s
    try:
        program.run(1)
        assert wait_until(lambda: exporter.exports, timeout=30)
    finally:
        program.meter_provider.shutdown()


def test_observable_instruments_have_no_exemplar_of_the_span_in_which_they_are_collected() -> None:
    exporter = KeepingExemplars()
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)])
    meter = provider.get_meter("tests")
    meter.create_observable_gauge("queue", [lambda _options: [Observation(3)]])
    parent = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    try:
        with trace.use_span(NonRecordingSpan(parent)):
            meter.create_counter("jobs").add(1)
            _internals.export_metrics(provider)
        assert exporter.exemplars == {"jobs": 1, "queue": 0}
    finally:
        provider.shutdown()


def test_a_measurement_without_an_execution_is_exported() -> None:
    from sandscope.instrumentation import Metric

    exporter = Exporting()
    program = Program(readers=[PeriodicExportingMetricReader(exporter)])
    try:
        program.recorder.measure(Metric("mine", "histogram", "s", "mine", (1.0,)), 1.0)
        assert wait_until(lambda: exporter.exports, timeout=30)
    finally:
        program.meter_provider.shutdown()


def test_the_first_export_follows_soon_and_exports_everything_until_then(exports: MetricExports) -> None:
    measured = time.monotonic()
    exports.on_measurement()
    exports.on_measurement()
    assert wait_until(lambda: times)
    assert times[0] - measured >= _metric_exports.SHORTEST
    time.sleep(5 * _metric_exports.SHORTEST)
    assert len(times) == 1, "nothing has been measured since"


def test_while_a_program_is_busy_exports_become_rarer(
    exports: MetricExports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_metric_exports, "SHORTEST", 0.05)
    monkeypatch.setattr(_metric_exports, "LONGEST", 0.4)
    begin = time.monotonic()
    while len(times) < 6:
        assert time.monotonic() - begin < 60
        exports.on_measurement()
        time.sleep(0.001)
    assert times[4] - times[3] >= 0.4
    assert times[5] - times[4] >= 0.4
    time.sleep(1)
    measured, before = time.monotonic(), len(times)
    exports.on_measurement()
    assert wait_until(lambda: len(times) > before)
    assert exports._delay == 2 * 0.05, "the program was idle: the export followed soon again"
    assert times[-1] >= measured


def test_a_programs_own_interval_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "60000")
    done: list[int] = []
    exports = MetricExports(lambda: done.append(1))
    exports.on_measurement()
    assert not exports.is_running
    assert done == []


def test_readers_of_other_kinds_and_readers_that_are_shut_down_are_left_alone() -> None:
    exporter, collected = Exporting(), []

    class Reader(InMemoryMetricReader):
        def collect(self, timeout_millis: float = 10_000) -> None:
            collected.append(1)

    periodic = PeriodicExportingMetricReader(exporter)
    provider = MeterProvider([periodic, Reader()], shutdown_on_exit=False)
    provider.get_meter("mine").create_counter("mine").add(1)
    assert _internals.export_metrics(provider)
    assert exporter.exports == 1
    provider.shutdown()
    before = exporter.exports
    assert _internals.export_metrics(provider)
    assert exporter.exports == before
    assert collected == []
    assert not _internals.export_metrics(object())


class Strict(Exporting):
    """Takes nothing after its shutdown, as the exporters of OTLP do."""

    def __init__(self) -> None:
        MetricExporter.__init__(self, preferred_temporality={Counter: AggregationTemporality.DELTA})
        self.exports = self.refused = 0
        self.is_shut_down = False

    def export(self, *_args: object, **_more: object) -> MetricExportResult:
        self.refused += self.is_shut_down
        return super().export()

    def shutdown(self, timeout_millis: float = 0, **_more: object) -> None:
        self.is_shut_down = True


@pytest.mark.parametrize("kind", ["soon", "flush"])
def test_what_has_been_collected_is_exported_before_the_exporter_shuts_down(kind: str) -> None:
    exporter = Strict()
    reader = PeriodicExportingMetricReader(exporter)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    _internals.export_metrics(provider)
    provider.get_meter("mine").create_counter("mine").add(1)
    collected, may_export, receive = threading.Event(), threading.Event(), reader._receive_metrics

    def receive_late(*args: object, **more: object) -> None:
        if threading.current_thread() is late:
            collected.set()
            may_export.wait(30)
        receive(*args, **more)  # type: ignore[arg-type] # as the SDK passes them

    reader._receive_metrics = receive_late  # type: ignore[method-assign]
    flushes = {"soon": lambda: _internals.export_metrics(provider), "flush": provider.force_flush}
    late = threading.Thread(target=flushes[kind])
    late.start()
    assert collected.wait(30)
    shutdown = threading.Thread(target=provider.shutdown)
    shutdown.start()
    time.sleep(0.2)
    may_export.set()
    for thread in (late, shutdown):
        thread.join(30)
    assert (exporter.exports, exporter.refused, exporter.is_shut_down) == (1, 0, True)
