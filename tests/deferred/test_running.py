"""What a collection sees: all that has ended, and exactly how many run, whichever threads they run on."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.context import Context
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
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext
from prometheus_client import CollectorRegistry, generate_latest

from sandscope import OK, _guard
from sandscope._deferred import _active_counts, _aggregator
from sandscope._deferred._aggregator import Aggregator
from sandscope._deferred._deferred_execution import DeferredExecution, recorded_by
from sandscope.instrumentation import Scope, Site

SCOPE, SITE, OTHER = Scope("scope", "1"), Site("wasmtime", "call", "wasm add"), Site("torch", "load", "load")
DELTA = AggregationTemporality.DELTA
TEMPORALITY: dict[type, Any] = {Counter: DELTA, Histogram: DELTA, ObservableUpDownCounter: DELTA}


class _Recorder:
    """Queues what has ended, as the deferred recorder does."""

    def __init__(self, provider: MeterProvider) -> None:
        self.queue: deque[DeferredExecution] = deque()
        self.aggregator = Aggregator(provider, SCOPE, self.drain)

    def begin(self, site: Site = SITE) -> DeferredExecution:
        self.aggregator.starts[site]()
        execution = recorded_by(self)()  # type: ignore[arg-type]
        execution.site = site
        execution.parent_context, execution.started, execution.ended = Context(), time.perf_counter_ns(), 0
        execution.verdict = execution.details = execution.identity = None
        return execution

    def identify(self, _execution: DeferredExecution) -> SpanContext:
        return INVALID_SPAN_CONTEXT

    def take(self, execution: DeferredExecution) -> None:
        self.queue.append(execution)

    def drain(self) -> None:
        batch = []
        while self.queue:
            try:
                batch.append(self.queue.popleft())
            except IndexError:
                break  # another thread was faster
        self.aggregator.add(batch)


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
    return {
        metric.name: sum(getattr(p, "count", None) or getattr(p, "value", 0) for p in metric.data.data_points)
        for metric in (data.resource_metrics[0].scope_metrics[0].metrics if data is not None else ())
    }


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader: InMemoryMetricReader) -> Iterator[MeterProvider]:
    made = MeterProvider([reader], shutdown_on_exit=False)
    yield made
    made.shutdown()


def test_each_collection_sees_all_that_has_ended_and_all_that_run(
    provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    recorder = _Recorder(provider)
    running = [recorder.begin() for _ in range(10)]
    for ended in range(1, 11):
        running.pop().finish()
        found = _values(reader.get_metrics_data())
        assert found["sandbox.executions"] == found["sandbox.execution.duration"] == ended
        assert found["sandbox.execution.active"] == 10 - ended


def test_what_runs_is_shown_by_runtime_and_operation(
    provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    recorder = _Recorder(provider)
    recorder.begin(SITE)
    recorder.begin(Site("wasmtime", "call", "another function"))
    recorder.begin(OTHER)
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    found = {(p.attributes or {})["sandbox.runtime"]: p for p in metric.data.data_points}
    assert {runtime: point.value for runtime, point in found.items()} == {"wasmtime": 2, "torch": 1}
    assert dict(found["torch"].attributes or {}) == {"sandbox.runtime": "torch", "sandbox.operation": "load"}


def test_ever_new_sites_are_counted_and_not_remembered(
    provider: MeterProvider, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_active_counts, "_MOST_SITES", 10)
    recorder = _Recorder(provider)
    for number in range(95):
        recorder.begin(Site("wasmtime", "call", f"function {number}"))
    assert len(recorder.aggregator.starts) <= 10
    assert _values(reader.get_metrics_data())["sandbox.execution.active"] == 95


def test_nothing_is_lost_between_threads_and_a_periodic_reader_in_delta_temporality() -> None:
    exporter = _Sums()
    periodic = PeriodicExportingMetricReader(exporter, export_interval_millis=5)
    provider = MeterProvider([periodic, InMemoryMetricReader()], shutdown_on_exit=False)
    recorder = _Recorder(provider)

    def work() -> None:
        for number in range(10_000):
            recorder.begin(SITE if number % 3 else OTHER).finish(OK)
            if number % 100 == 0:
                recorder.drain()

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


def test_prometheus_sees_all_of_it() -> None:
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry)], shutdown_on_exit=False)
    recorder = _Recorder(provider)
    running = [recorder.begin() for _ in range(7)]
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


def test_a_later_recorder_of_the_same_scope_is_seen_too(
    provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    first = _Recorder(provider)
    first.begin().finish()
    first.begin()
    _values(reader.get_metrics_data())
    del first
    gc.collect()
    second = _Recorder(provider)
    second.begin().finish()
    second.begin()
    found = _values(reader.get_metrics_data())
    assert found["sandbox.executions"] == 2
    assert found["sandbox.execution.active"] == 2


def test_a_collection_does_not_wait_for_ever_for_a_thread_that_counts(
    provider: MeterProvider, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_aggregator, "_PATIENCE", 0.05)
    recorder = _Recorder(provider)
    recorder.begin().finish()
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with recorder.aggregator._lock:
            holding.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    collector = threading.Thread(target=reader.get_metrics_data, daemon=True)
    collector.start()
    collector.join(10)
    waited = collector.is_alive()
    release.set()
    thread.join(10)
    assert not waited
    assert _values(reader.get_metrics_data())["sandbox.executions"] == 1


def test_a_batch_that_interrupts_another_on_the_same_thread_is_counted_after_it() -> None:
    class Interrupting(ExemplarFilter):
        def should_sample(self, *_args: Any) -> bool:
            if interruptions:
                recorder.aggregator.add([interruptions.pop()])
            return False

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], exemplar_filter=Interrupting(), shutdown_on_exit=False)
    recorder = _Recorder(provider)
    recorder.begin().finish()
    recorder.begin(OTHER).finish()
    interruptions = [recorder.queue.pop()]
    recorder.drain()
    assert interruptions == []
    found = _values(reader.get_metrics_data())
    assert found["sandbox.executions"] == found["sandbox.execution.duration"] == 2
    provider.shutdown()


def test_an_owner_that_fails_to_drain_does_not_break_a_collection(
    provider: MeterProvider, reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("broken owner")

    aggregator = Aggregator(provider, SCOPE, broken)
    aggregator.started(SITE)
    assert _values(reader.get_metrics_data()) == {"sandbox.execution.active": 1}
    assert _guard.counts() == {"metrics.collect": 1}
    assert [record.name for record in caplog.records] == ["sandscope"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_from_zero(provider: MeterProvider, reader: InMemoryMetricReader) -> None:
    recorder = _Recorder(provider)
    running = [recorder.begin() for _ in range(3)]
    recorder.aggregator._lock.acquire()  # as if another thread were counting
    child = os.fork()
    if child == 0:
        try:
            recorder.aggregator.forget()
            running[0].finish()  # the parent's
            mine = [recorder.begin() for _ in range(2)]
            mine[0].finish()
            os._exit(int(_values(reader.get_metrics_data()).get("sandbox.execution.active", 90)))
        finally:
            os._exit(99)
    recorder.aggregator._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert _values(reader.get_metrics_data())["sandbox.execution.active"] == 3
