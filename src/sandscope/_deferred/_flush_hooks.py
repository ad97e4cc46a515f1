"""Processors that see no record: they are told when a provider flushes or shuts down."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor

from sandscope import _guard
from sandscope._deferred._pipeline import Pipeline
from sandscope._deferred._record_outcomes import Signal


class _Hook:
    """Flushes a pipeline, once there is one, before the provider's exporters are shut down."""

    pipeline: Pipeline | None = None
    signal: Signal

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Send all that has ended so far."""
        try:
            return self.pipeline is None or self.pipeline.flush(timeout_millis / 1000)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.flush", error)
            return False

    def shutdown(self) -> None:
        """Send all that has ended so far, for the last time."""
        try:
            if self.pipeline is not None:
                self.pipeline.close(self.signal)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.close", error)


class SpanHook(_Hook, SpanProcessor):
    """To be the tracer provider's first processor."""

    signal = "span"


class LogHook(_Hook, LogRecordProcessor):
    """To be the logger provider's first processor."""

    signal = "log"

    def on_emit(self, log_record: Any) -> None:
        """Leave the program's own log records to the next processor."""
