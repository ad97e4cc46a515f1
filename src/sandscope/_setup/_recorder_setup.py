"""Which recorder this process uses: deferred where that can be, else direct, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from sandscope import _internals
from sandscope._deferred import DeferredRecorder, Pipeline
from sandscope._deferred._flush_hooks import LogHook, SpanHook
from sandscope._recording._choice import prefer
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope._scope import Scope

_active: Pipeline | None = None
_direct_reason = "the SDK was not set up by Sandscope's distro"


class RecorderSetup:
    """Keeps the exporters that the SDK's configurator makes, and builds the pipeline from them.

    Its `arguments` go to the configurator; exporters stay in the SDK's own processors too, for the spans
    and log records that the program makes itself.
    """

    def __init__(self) -> None:
        self._spans: list[Any] = []
        self._logs: list[Any] = []
        self._hooks = (SpanHook(), LogHook())

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the configurator."""
        span_hook, log_hook = self._hooks
        return {
            "span_processors": [span_hook],
            "log_record_processors": [log_hook],
            "export_span_processor": self._keeping(self._spans, BatchSpanProcessor),
            "export_log_record_processor": self._keeping(self._logs, BatchLogRecordProcessor),
        }

    def activate(self, *, own_providers: bool = False) -> None:
        """Make the pipeline of the global providers the process's own, if it can be used.

        Args:
            own_providers: the program had set some of them itself.
        """
        global _active, _direct_reason  # noqa: PLW0603 -- one global SDK
        tracer_provider, meter_provider = trace.get_tracer_provider(), metrics.get_meter_provider()
        sdk = type(tracer_provider) is TracerProvider and type(meter_provider) is MeterProvider
        _direct_reason = self._obstacle(own_providers=own_providers or not sdk)
        if _direct_reason:
            return
        span_exporter, log_exporter = (made[0] if made else None for made in (self._spans, self._logs))
        traces = cast(TracerProvider, tracer_provider)
        _active = Pipeline(traces, cast(MeterProvider, meter_provider), span_exporter, log_exporter)
        for hook in self._hooks:
            hook.pipeline = _active
        prefer(new_recorder)
        _watch(traces, "add_span_processor")
        _watch(_logs.get_logger_provider(), "add_log_record_processor")

    def _obstacle(self, *, own_providers: bool) -> str:
        if own_providers:
            return "the program has brought its own providers"
        if len(self._spans) > 1 or len(self._logs) > 1:
            return "there is more than one exporter"
        if _internals.context_variable() is None:
            return "OpenTelemetry's context is not kept in a context variable"
        return ""

    @staticmethod
    def _keeping(made: list[Any], processor: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def make(exporter: Any) -> Any:
            made.append(exporter)
            return processor(exporter)

        return make


def new_recorder(scope: Scope) -> DeferredRecorder | None:
    """Return a deferred recorder for the global providers, or None if direct ones are to be used."""
    return None if _active is None else DeferredRecorder(scope, _active)


def direct_reason() -> str:
    """Return why recorders are direct; empty if they are deferred."""
    return _direct_reason


def disable_deferred(reason: str) -> None:
    """Use direct recorders in this process, and say why."""
    global _direct_reason  # noqa: PLW0603 -- one global SDK
    _direct_reason = reason


def fall_back_to_direct(reason: str) -> None:
    """Let direct recorders take over from now on.

    Args:
        reason: what has changed.
    """
    global _active, _direct_reason
    if _active is None:
        return
    recorders = list(_active.recorders)
    _active, _direct_reason = None, reason
    for recorder in recorders:
        recorder.fall_back_to(DirectRecorder(recorder.scope))


def _watch(provider: Any, method: str) -> None:
    add = getattr(provider, method)

    def add_processor(*args: Any, **kwargs: Any) -> None:
        add(*args, **kwargs)
        fall_back_to_direct("the program has added a processor, which is to see each record")

    setattr(provider, method, add_processor)
