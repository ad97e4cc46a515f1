"""A collection includes all executions that have ended, and the exact number of running ones, on all threads."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import (
    Counter,
    ExemplarFilter,
    Histogram,
    MeterProvider,
    ObservableUpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest

from sandscope import OK, Execution, _guard
from sandscope._deferred import _active_counts, _pipeline
from sandscope._deferred._deferred_recorder import DeferredRecorder
from sandscope._deferred._pipeline import Pipeline
from sandscope.instrumentation import Scope, Site

SCOPE = Scope("scope", "1")
SITE = Site("wasmtime", "call", "wasm add", current=False)
OTHER = Site("torch", "load", "load", current=False)
DELTA = AggregationTemporality.DELTA
TEMPORALITY: dict[type, Any] = {Counter: DELTA, Histogram: DELTA, ObservableUpDownCounter: DELTA}


def _recorder(provider: MeterProvider) -> DeferredRecorder:
    """Return a recorder whose pipeline has no thread: what has ended is counted when a reader collects."""
    pipeline = Pipeline(TracerProvider(shutdown_on_exit=False), provider)
    pipeline.idle = False
    return DeferredRecorder(SCOPE, pipeline)


def _begin(recorder: DeferredRecorder, site: Site = SITE) -> Execution:
    execution = recorder.begin(site)
    assert execution is not None
    return execution


class _Sums(MetricExporter):
    """Adds up what arrives."""

    def __init__(self) -> None:
        super().__init__(TEMPORALITY)
        self.sums: dict[str, float] = {}

    def export(self, metrics_data: MetricsData, *_args: Any, **_kwargs: Any) -> MetricExportResult:
        for name, value in _values(metrics_data).items():
            self.sums[name] = self.sums.get(name, 0) + value
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: Any) -> None:
        pass


def _values(data: MetricsData | None) -> dict[str, float]:
    scopes = data.resource_metrics[0].scope_metrics if data is not None else ()
    return {
        metric.name: sum(getattr(p, "count", None) or getattr(p, "value", 0) for p in metric.data.data_points)
        for scope in scopes
        if scope.scope.name == SCOPE.name
        for metric in scope.metrics
    }


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader: InMemoryMetricReader) -> Iterator[MeterProvider]:
    made = MeterProvider([reader], shutdown_on_exit=False)
    yield made
    made.shutdown()


def test_each_collection_includes_all_ended_and_all_running_executions(
    provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    recorder = _recorder(provider)
    running = [_begin(recorder) for _ in range(10)]
    for ended in range(1, 11):
        running.pop().finish()
        found = _values(reader.get_metrics_data())
        assert found["sandbox.executions"] == found["sandbox.execution.duration"] == ended
        assert found["sandbox.execution.active"] == 10 - ended


def test_running_executions_are_counted_by_runtime_and_operation(
    provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    recorder = _recorder(provider)
    _begin(recorder, SITE)
    _begin(recorder, Site("wasmtime", "call", "another function", current=False))
    _begin(recorder, OTHER)
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    found = {(p.attributes or {})["sandbox.runtime"]: p for p in metric.data.data_points}
    assert {runtime: point.value for runtime, point in found.items()} == {"wasmtime": 2, "torch": 1}
    assert dict(found["torch"].attributes or {}) == {"sandbox.runtime": "torch", "sandbox.operation": "load"}


def test_sites_are_counted_and_not_kept(
    provider: MeterProvider, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_active_counts, "_MAX_SITES", 10)
    recorder = _recorder(provider)
    for number in range(95):
        _begin(recorder, Site("wasmtime", "call", f"function {number}", current=False))
    assert len(recorder.aggregator.starts) <= 10
    assert _values(reader.get_metrics_data())["sandbox.execution.active"] == 95


def test_nothing_is_lost_between_threads_and_a_periodic_reader_in_delta_temporality() -> None:
    exporter = _Sums()
    periodic = PeriodicExportingMetricReader(exporter, export_interval_millis=5)
    provider = MeterProvider([periodic, InMemoryMetricReader()], shutdown_on_exit=False)
    recorder = _recorder(provider)

    def work() -> None:
        for number in range(10_000):
            _begin(recorder, SITE if number % 3 else OTHER).finish(OK)
            if number % 100 == 0:
                recorder.pipeline.settle()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    provider.shutdown()
    assert exporter.sums == {
        "sandbox.executions": 40_000,
        "sandbox.execution.duration": 40_000,
        "sandbox.execution.active": 0,
    }
    assert _guard.counts() == {}


def test_prometheus_reads_all_counts() -> None:
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry)], shutdown_on_exit=False)
    recorder = _recorder(provider)
    running = [_begin(recorder) for _ in range(7)]
    for execution in running[:5]:
        execution.finish()
    lines = [line.split(" ") for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]
    found = {
        name.split("{")[0]: value for *_, name, value in (" ".join(line).rsplit(" ", 1) for line in lines)
    }
    assert found["sandbox_executions_total"] == "5.0"
    assert found["sandbox_execution_duration_seconds_count"] == "5.0"
    assert found["sandbox_execution_active"] == "2.0"
    provider.shutdown()


def test_a_later_recorder_of_the_same_scope_is_included(
    provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    first = _recorder(provider)
    _begin(first).finish()
    _begin(first)
    _values(reader.get_metrics_data())
    del first
    gc.collect()
    second = _recorder(provider)
    _begin(second).finish()
    _begin(second)
    found = _values(reader.get_metrics_data())
    assert found["sandbox.executions"] == 2
    assert found["sandbox.execution.active"] == 2


def test_a_collection_does_not_wait_indefinitely_for_a_thread_that_counts(
    provider: MeterProvider, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pipeline, "_LOCK_TIMEOUT", 0.05)
    recorder = _recorder(provider)
    _begin(recorder).finish()
    counting, go_on = threading.Event(), threading.Event()
    count = recorder.aggregator.count

    def slowly(executions: Any) -> None:
        counting.set()
        go_on.wait(30)
        count(executions)

    monkeypatch.setattr(recorder.aggregator, "count", slowly)
    thread = threading.Thread(target=recorder.pipeline.settle)
    thread.start()
    counting.wait(10)
    collector = threading.Thread(target=reader.get_metrics_data, daemon=True)
    collector.start()
    collector.join(10)
    waited = collector.is_alive()
    go_on.set()
    thread.join(10)
    assert not waited
    assert _values(reader.get_metrics_data())["sandbox.executions"] == 1


def test_an_execution_that_ends_while_its_thread_counts_is_counted_next() -> None:
    class Interrupting(ExemplarFilter):
        """Ends an execution within a call of the SDK, as a finaliser or signal handler may."""

        def should_sample(self, *_args: Any) -> bool:
            if interruptions:
                interruptions.pop().finish()
                recorder.pipeline.settle()
            return False

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], exemplar_filter=Interrupting(), shutdown_on_exit=False)
    recorder = _recorder(provider)
    interruptions = [_begin(recorder, OTHER)]
    _begin(recorder).finish()
    recorder.pipeline.settle()
    assert interruptions == []
    found = _values(reader.get_metrics_data())
    assert found["sandbox.executions"] == found["sandbox.execution.duration"] == 2
    provider.shutdown()


def test_executions_that_cannot_be_counted_do_not_break_a_collection(
    provider: MeterProvider,
    reader: InMemoryMetricReader,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = _recorder(provider)
    _begin(recorder)
    _begin(recorder, OTHER).finish()
    monkeypatch.setattr(recorder.aggregator, "_groups", None)
    assert "sandbox.execution.active" in _values(reader.get_metrics_data())
    assert _guard.counts() == {"metrics.add": 1}
    assert [record.name for record in caplog.records] == ["sandscope"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_from_zero(
    provider: MeterProvider, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pipeline, "_LOCK_TIMEOUT", 0.05)
    recorder = _recorder(provider)
    running = [_begin(recorder) for _ in range(3)]
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with recorder.pipeline._collect_lock:  # as a thread that counts does, which is not in the child
            held.set()
            go_on.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        try:
            running[0].finish()  # the parent's
            mine = [_begin(recorder) for _ in range(2)]
            mine[0].finish()
            os._exit(int(_values(reader.get_metrics_data()).get("sandbox.execution.active", 90)))
        finally:
            os._exit(99)
    go_on.set()
    thread.join(10)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert _values(reader.get_metrics_data())["sandbox.execution.active"] == 3
