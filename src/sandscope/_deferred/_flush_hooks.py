"""Processors that ignore all records and flush the pipeline when their provider flushes or shuts down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor

from sandscope import _guard

if TYPE_CHECKING:
    from sandscope._deferred._pipeline import Pipeline
    from sandscope._deferred._record_outcomes import Signal


class _Hook:
    """Flushes the pipeline, if there is one, before the provider's exporters are flushed or shut down."""

    pipeline: Pipeline | None = None
    signal: Signal

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export this signal of all executions that have ended."""
        try:
            return self.pipeline is None or self.pipeline.flush(timeout_millis / 1000, self.signal)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.flush", error)
            return False

    def shutdown(self) -> None:
        """Export all executions that have ended, and close the pipeline for this signal."""
        try:
            if self.pipeline is not None:
                self.pipeline.close(self.signal)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.close", error)


class SpanHook(_Hook, SpanProcessor):
    """The first processor of the tracer provider."""

    signal = "span"


class LogHook(_Hook, LogRecordProcessor):
    """The first processor of the logger provider."""

    signal = "log"

    def on_emit(self, log_record: Any) -> None:
        """Do nothing: the other processors export the program's log records."""
