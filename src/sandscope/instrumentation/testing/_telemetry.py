"""An SDK with in-memory exporters. Uses no global providers and no network."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sandscope._deferred._deferred_recorder import DeferredRecorder
from sandscope._deferred._pipeline import Pipeline
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope._recording._recorder import Recorder
from sandscope._scope import Scope


class Telemetry:
    """Providers for an instrumentor, and the telemetry that they have received."""

    def __init__(self, kind: str = "direct") -> None:
        """Create the providers.

        Args:
            kind: the kind of recorder that `recorder` returns: ``direct`` or ``deferred``.
        """
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # untyped upstream
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.pipeline: Pipeline | None = None
        if kind == "deferred":
            self.pipeline = Pipeline(
                self.tracer_provider,
                self.meter_provider,
                self._spans,
                self._logs,
                logger_provider=self.logger_provider,
            )

    @property
    def providers(self) -> dict[str, Any]:
        """The providers as keyword arguments of ``instrument()`` and `get_recorder`."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    def recorder(self, scope: Scope, **_providers: Any) -> Recorder:
        """Return a recorder that uses these providers. Can replace `get_recorder` in tests."""
        if self.pipeline is not None:
            return DeferredRecorder(scope, self.pipeline)
        return DirectRecorder(scope, **self.providers)

    def flush(self) -> None:
        """Export all executions that have ended."""
        if self.pipeline is not None:
            self.pipeline.flush()

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """Return the ended spans, sorted by end time."""
        self.flush()
        found = [span for span in self._spans.get_finished_spans() if name in (None, span.name)]
        return sorted(found, key=lambda span: span.end_time or 0)

    def logs(self, event: str | None = None) -> list[ReadableLogRecord]:
        """Return the log records; only those with an event name if one is given."""
        self.flush()
        found = self._logs.get_finished_logs()
        return [log for log in found if event in (None, log.log_record.event_name)]

    def metrics(self) -> dict[str, Metric]:
        """Collect the metrics and return them by name."""
        self.flush()
        data = self._reader.get_metrics_data()
        return (
            {}
            if data is None
            else {
                metric.name: metric
                for resource in data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }
        )

    def points(self, name: str) -> list[tuple[dict[str, Any], float]]:
        """Return the data points of a metric as (attributes, value). The value of a histogram is its count."""
        metric = self.metrics().get(name)
        return (
            [] if metric is None else [(dict(p.attributes or {}), _value(p)) for p in metric.data.data_points]
        )

    def clear(self) -> None:
        """Discard spans and log records. Metrics are not reset."""
        self.flush()
        self._spans.clear()
        self._logs.clear()

    def shutdown(self) -> None:
        """Shut down the providers."""
        if self.pipeline is not None:
            self.pipeline.close()
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()
        self.logger_provider.shutdown()


def _value(point: Any) -> float:
    return float(point.count if hasattr(point, "count") else point.value)
