"""A program with its own deferred recorder, and exporters that work or fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from sandscope._deferred._deferred_recorder import DeferredRecorder
from sandscope._deferred._pipeline import Pipeline
from sandscope.instrumentation import Scope, Site

SCOPE, SITE = Scope("scope", "1"), Site("wasmtime", "call", "wasm add")
OUTCOMES = ("sent", "unsampled", "not_identified", "queue_full", "not_encoded", "not_delivered")
SIGNALS = ("span", "log")


class Exporter:
    """Stores the records that arrive, after it has called a given function with each request."""

    def __init__(self, work: Callable[[], object] = lambda: None, result: Any = SpanExportResult.SUCCESS):
        self.work, self.result = work, result
        self.arrived: list[Any] = []

    def export(self, batch: Sequence[Any]) -> Any:
        self.work()
        if self.result is SpanExportResult.SUCCESS:
            self.arrived += batch
        return self.result


class Program:
    """Providers, exporters, pipeline and a recorder."""

    made: ClassVar[list[Program]] = []

    def __init__(
        self,
        spans: Any = None,
        logs: Any = None,
        *,
        readers: Sequence[Any] = (),
        high_water: int = 2048,
        **of_tracer_provider: Any,
    ) -> None:
        self.spans, self.logs = spans or Exporter(), logs or Exporter()
        self.reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False, **of_tracer_provider)
        self.meter_provider = MeterProvider([self.reader, *readers], shutdown_on_exit=False)
        self.pipeline = Pipeline(
            self.tracer_provider, self.meter_provider, self.spans, self.logs, high_water=high_water
        )
        self.recorder = DeferredRecorder(SCOPE, self.pipeline)
        self.made.append(self)

    def run(self, count: int, site: Site = SITE) -> None:
        begin = self.recorder.begin
        for _ in range(count):
            execution = begin(site)
            assert execution is not None
            execution.finish()

    def run_on(self, threads: int, count: int) -> None:
        running = [threading.Thread(target=self.run, args=[count]) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(60)
            assert not thread.is_alive()

    def outcomes(self, signal: Any) -> dict[str, int]:
        """Return the outcomes of the records of a signal, without zeros."""
        counts = {outcome: self.pipeline.outcomes.count(signal, outcome) for outcome in OUTCOMES}  # type: ignore[arg-type]
        return {outcome: count for outcome, count in counts.items() if count}

    def accounted(self) -> list[int]:
        return [sum(self.outcomes(signal).values()) for signal in SIGNALS]

    def metric(self, name: str) -> float:
        """Collect, and return the sum of a metric's points."""
        data = self.reader.get_metrics_data()
        if data is None:
            return 0
        return sum(
            point.count if hasattr(point, "count") else point.value
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        )

    def executions(self) -> float:
        return self.metric("sandbox.executions")

    def active(self) -> float:
        return self.metric("sandbox.execution.active")


def within(seconds: float, work: Callable[[], object]) -> None:
    """Call a function on another thread, and fail if it takes longer, so that a deadlock does not block the tests."""
    failed: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 -- raised again below
            failed.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    if failed:
        raise failed[0]
