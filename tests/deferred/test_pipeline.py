"""Whatever an exporter does, the program continues, memory is bounded, and the outcome of every record is counted."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any, cast

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace.export import SpanExportResult

from deferred._programs import SCOPE, SITE, Exporter, Program
from harness import OtlpSink, wait_until
from sandscope import _guard
from sandscope._deferred import _outlet, _pipeline
from sandscope._deferred._deferred_recorder import DeferredRecorder
from sandscope.instrumentation import Site


def _raise() -> None:
    raise OSError("no way out")


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Exporter(_raise), id="raises"),
        pytest.param(Exporter(result=SpanExportResult.FAILURE), id="fails"),
    ],
)
def test_records_that_an_exporter_does_not_deliver_are_counted(broken: Exporter) -> None:
    program = Program(spans=broken)
    program.run(1000)
    program.pipeline.close()
    assert program.outcomes("span") == {"not_delivered": 1000}
    assert program.outcomes("log") == {"sent": 1000}, "the other signal is delivered all the same"
    assert program.executions() == 1000


def test_if_an_exporter_ends_its_thread_the_request_is_sent_again() -> None:
    program = Program(spans=Exporter(lambda: (_ for _ in ()).throw(SystemExit)))
    program.run(10)
    with pytest.raises(SystemExit):
        program.pipeline.flush()
    program.spans.work = lambda: None
    program.run(10)
    assert program.pipeline.flush(), "nothing stays locked"
    assert program.outcomes("span") == {"sent": 20}


def test_while_an_exporter_hangs_the_program_continues_and_memory_is_bounded() -> None:
    hanging, hangs = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        hanging.wait(60)

    program = Program(spans=Exporter(hang), high_water=100)
    try:
        program.run(10)
        assert hangs.wait(10), "the exporter's thread hangs now"
        program.run(20_000)
        assert len(program.pipeline.queue) <= 4 * 100 + 64, "four times high water, as the drain goes on"
        assert program.executions() == 20_010, "a reader sees all"
        assert program.outcomes("span")["queue_full"] == 20_000 - _outlet.LIMIT
        started = time.monotonic()
        assert not program.pipeline.flush(0.05), "the time is up"
        assert time.monotonic() - started < 5
    finally:
        hanging.set()
    assert wait_until(program.pipeline.flush)
    assert program.accounted() == [20_010, 20_010]
    assert len(program.spans.arrived) == program.outcomes("span")["sent"]


def test_an_exporter_that_is_slower_than_the_program_delivers_what_it_can() -> None:
    program = Program(Exporter(lambda: time.sleep(0.02)), Exporter(lambda: time.sleep(0.02)), high_water=500)
    program.run(20_000)
    assert wait_until(program.pipeline.flush)
    assert program.accounted() == [20_000, 20_000]
    assert len(program.spans.arrived) == program.outcomes("span")["sent"] > 0
    assert program.outcomes("log").keys() == {"sent", "queue_full"}
    assert program.executions() == 20_000


def test_the_queue_is_bounded_however_many_threads_are_faster_than_the_drain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = Program(high_water=64)
    count, longest = program.pipeline._count, 0

    def count_slowly(batch: list[object]) -> None:
        nonlocal longest
        longest = max(longest, len(program.pipeline.queue))
        time.sleep(0.001)
        count(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(program.pipeline, "_count", count_slowly)
    program.run_on(threads=4, count=2_500)
    assert longest <= 4 * 64 + 64 * 4, "four times high water, and what threads put in while they wait"
    assert program.executions() == 10_000


def test_eight_threads_and_a_reader_every_5_ms_lose_nothing() -> None:
    class Nowhere(MetricExporter):
        def export(self, *_args: object, **_more: object) -> MetricExportResult:
            return MetricExportResult.SUCCESS

        def force_flush(self, timeout_millis: float = 0) -> bool:
            return True

        def shutdown(self, timeout_millis: float = 0, **_more: object) -> None:
            pass

    program = Program(readers=[PeriodicExportingMetricReader(Nowhere(), export_interval_millis=5)])
    try:
        program.run_on(threads=8, count=20_000)
        assert program.executions() == program.metric("sandbox.execution.duration") == 160_000
        assert program.active() == 0
        assert wait_until(program.pipeline.flush)
        assert program.accounted() == [160_000, 160_000]
    finally:
        program.meter_provider.shutdown()
    assert _guard.counts() == {}


def test_new_names_of_a_guest_fill_neither_memory_nor_series() -> None:
    program = Program(Exporter(result=SpanExportResult.FAILURE), Exporter(result=SpanExportResult.FAILURE))
    alive: weakref.WeakSet[Site] = weakref.WeakSet()
    for number in range(25_000):
        site = Site("wasmtime", "call", f"wasm {number}")
        alive.add(site)
        program.run(1, site)
    del site
    assert wait_until(program.pipeline.flush)
    gc.collect()
    assert len(alive) <= 10_000 + 2 * 1024, "no cache keeps unused sites"
    assert program.executions() == 25_000
    data = program.reader.get_metrics_data()
    assert data is not None
    scopes = data.resource_metrics[0].scope_metrics
    points = {metric.name: metric.data.data_points for scope in scopes for metric in scope.metrics}
    assert len(points["sandbox.executions"]) == 1, "names are no attributes of metrics"


def test_the_program_continues_if_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    program = Program(high_water=10)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        program.run(100)
    assert program.pipeline.idle
    assert "recorder.thread" in _guard.counts()
    assert program.executions() == 100
    program.pipeline.flush()
    assert program.accounted() == [100, 100]


def test_without_exporters_there_are_only_metrics_and_nothing_counts_as_lost() -> None:
    program = Program()
    pipeline = _pipeline.Pipeline(program.tracer_provider, program.meter_provider)
    program.recorder = DeferredRecorder(SCOPE, pipeline)
    program.run(20_000)
    pipeline.close()
    assert program.executions() == 20_000
    assert [pipeline.outcomes.count(s, o) for s in ("span", "log") for o in ("sent", "queue_full")] == [0] * 4


def test_the_drain_sends_by_itself() -> None:
    program = Program()
    program.run(10)
    assert wait_until(lambda: len(program.spans.arrived) == len(program.logs.arrived) == 10)


def test_losses_are_a_metric() -> None:
    program = Program(spans=Exporter(_raise))
    program.run(3)
    program.pipeline.close()
    assert program.metric("sandscope.recorder.records") == 6


def test_nothing_is_recorded_where_instrumentation_is_suppressed() -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    program = Program()
    with suppress_instrumentation():
        assert program.recorder.begin(Site("wasmtime", "call", "add")) is None
    assert program.executions() == 0


def test_a_record_that_cannot_be_encoded_is_counted_and_does_not_affect_others() -> None:
    with OtlpSink() as sink:
        exporters = (
            OTLPSpanExporter(f"{sink.endpoint}/v1/traces"),
            OTLPLogExporter(f"{sink.endpoint}/v1/logs"),
        )
        program = Program(*exporters)
        program.run(3)
        program.run(1, Site("wasmtime", "call", "odd", attributes=cast(Any, 5)))
        assert program.pipeline.flush()
        assert (len(sink.spans), len(sink.logs)) == (3, 3)
    assert program.outcomes("span") == program.outcomes("log") == {"sent": 3, "not_encoded": 1}
    assert program.executions() == 4


@pytest.mark.parametrize("end_time", [2**65, -(2**65), -1])
def test_an_invalid_end_time_is_replaced_by_the_current_time(end_time: int) -> None:
    program = Program()
    execution = program.recorder.begin(SITE)
    assert execution is not None
    execution.finish(end_time=end_time)
    assert 0 < execution.duration < 60
    assert program.pipeline.flush()
    assert program.outcomes("span") == {"sent": 1}


def test_a_record_that_the_sdk_cannot_represent_is_counted_and_does_not_affect_others() -> None:
    program = Program()
    program.run(3)
    program.run(1, Site("wasmtime", "call", "odd", attributes=cast(Any, 5)))
    assert program.pipeline.flush()
    assert program.outcomes("span") == program.outcomes("log") == {"sent": 3, "not_encoded": 1}
    assert _guard.counts() == {"encode": 2}


def test_an_empty_request_is_not_sent() -> None:
    program = Program(Exporter(_raise), Exporter(_raise))
    program.run(2, Site("wasmtime", "call", "odd", attributes=cast(Any, 5)))
    assert program.pipeline.flush()
    assert program.outcomes("span") == program.outcomes("log") == {"not_encoded": 2}
