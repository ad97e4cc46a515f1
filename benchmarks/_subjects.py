"""The recorders and guests that are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import wasmtime
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from sandscope._deferred._deferred_recorder import DeferredRecorder
from sandscope._deferred._pipeline import Pipeline
from sandscope._internals import Encoded
from sandscope._recording import _choice
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope.instrumentation import Recorder, Scope, Site

SCOPE = Scope("benchmark", "1")
SITE = Site("wasmtime", "call", "wasm add", attributes={"wasm.module": "math", "wasm.function": "add"})
LEAF = Site("wasmtime", "call", "wasm add", attributes=SITE.attributes, current=False)
QUEUE = 1 << 17


class Spans(SpanExporter):
    """Counts spans; with ``encode``, it also encodes spans that are not encoded yet, as an OTLP exporter does."""

    def __init__(self, *, encode: bool = False) -> None:
        self.count = 0
        self._encode = encode

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Count, encode, forget."""
        self.count += len(spans)
        if self._encode and not isinstance(spans, Encoded):
            from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

            encode_spans(spans).SerializePartialToString()
        return SpanExportResult.SUCCESS


class Logs(LogRecordExporter):
    """The same for log records."""

    def __init__(self, *, encode: bool = False) -> None:
        self.count = 0
        self._encode = encode

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        """Count, encode, forget."""
        self.count += len(batch)
        if self._encode and not isinstance(batch, Encoded):
            from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs

            encode_logs(batch).SerializeToString()
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Nothing to do."""
        return True


class Subject:
    """A recorder with its own SDK.

    Attributes:
        recorder: the recorder for an instrumentation.
        spans: the exporter of spans; its ``count`` is the number of exported spans.
        logs: the same for log records.
        reader: collects the metrics.
    """

    def __init__(
        self, kind: str, *, encode: bool = False, high_water: int = 2048, black_box: Path | None = None
    ) -> None:
        resource = Resource.create({"service.name": "benchmark"})
        self.reader = InMemoryMetricReader()
        self.spans, self.logs = Spans(encode=encode), Logs(encode=encode)
        if encode:  # OTLP exporters load their encoders when they are created
            import opentelemetry.exporter.otlp.proto.common._log_encoder
            import opentelemetry.exporter.otlp.proto.common.trace_encoder  # noqa: F401
        self._tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._logger_provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        meter_provider = MeterProvider([self.reader], resource=resource, shutdown_on_exit=False)
        self.pipeline: Pipeline | None = None
        self.recorder: Recorder
        if kind == "sdk":
            self._tracer_provider.add_span_processor(BatchSpanProcessor(self.spans, max_queue_size=QUEUE))
            logs = BatchLogRecordProcessor(self.logs, max_queue_size=QUEUE)
            self._logger_provider.add_log_record_processor(logs)
            self.recorder = DirectRecorder(
                SCOPE, self._tracer_provider, meter_provider, self._logger_provider
            )
        else:
            self.pipeline = Pipeline(
                self._tracer_provider,
                meter_provider,
                self.spans,
                self.logs,
                high_water,
                black_box=black_box,
            )
            self.recorder = DeferredRecorder(SCOPE, self.pipeline)
            for outlet in self.pipeline._outlets:
                outlet._takes_bytes = True  # as for the SDK's OTLP exporters

    def stand_still(self) -> None:
        """Keep the drain thread from starting while the calling thread is measured."""
        if self.pipeline is not None:
            self.pipeline.idle = False
            self.pipeline.black_box.open(self.pipeline.resource)

    def clear(self) -> None:
        """Discard the queued records."""
        if self.pipeline is not None:
            self.pipeline.queue.clear()

    def flush(self) -> None:
        """Export all executions that have ended."""
        if self.pipeline is not None:
            self.pipeline.flush()
        self._tracer_provider.force_flush()
        self._logger_provider.force_flush()


def for_instrumentations() -> Subject:
    """Return a subject, and make all instrumentations use its recorder."""
    subject = Subject("deferred")
    pipeline = subject.pipeline
    assert pipeline is not None
    _choice.prefer(lambda _scope: DeferredRecorder(SCOPE, pipeline))
    return subject


class Guest:
    """An object with a method that can be patched, like wasmtime's functions."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(self) -> None:
        """Do nothing: this is the shortest possible call of a guest."""


def patched(recorder: Recorder, site: Site) -> Callable[[], Any]:
    """Return a guest whose call is patched."""

    class Patched(Guest):
        __call__ = recorder.wrap_method(Guest.__call__, "site", site)

    return Patched(site)


def recorded(recorder: Recorder, site: Site, function: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function whose calls are executions."""
    from sandscope._recording._recorder import recording

    return lambda: recording(recorder.begin, site, function)


def wasm_functions() -> tuple[Any, Any, Any]:
    """Return a store and two of its functions: ``nop()`` and ``add(i32, i32)``."""
    store = wasmtime.Store()
    module = wasmtime.Module(
        store.engine,
        """(module $math (func (export "nop"))
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))""",
    )
    exports = wasmtime.Instance(store, module, []).exports(store)
    return store, exports["nop"], exports["add"]
