"""The deferred recorder: the calling thread leaves a record, the work is done in batches elsewhere.

It is used when Sandscope's own distro has set the SDK up, and nobody needs to see each span: see `Setup`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from sandscope import _internals
from sandscope._deferred._hooks import LogHook, SpanHook
from sandscope._deferred._pipeline import Pipeline
from sandscope._deferred._recorder import DeferredRecorder
from sandscope._recorder import Recorder, prefer
from sandscope._scope import Scope

__all__ = ["DeferredRecorder", "Pipeline", "Setup", "give_way", "new_recorder", "stay_direct", "why_not"]

_active: Pipeline | None = None
_why_not = "the SDK was not set up by Sandscope's distro"


class Setup:
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
        global _active, _why_not  # noqa: PLW0603 -- one global SDK
        tracer_provider, meter_provider = trace.get_tracer_provider(), metrics.get_meter_provider()
        sdk = type(tracer_provider) is TracerProvider and type(meter_provider) is MeterProvider
        _why_not = self._obstacle(own_providers=own_providers or not sdk)
        if _why_not:
            return
        span_exporter, log_exporter = (made[0] if made else None for made in (self._spans, self._logs))
        ours = cast(TracerProvider, tracer_provider)
        _active = Pipeline(ours, cast(MeterProvider, meter_provider), span_exporter, log_exporter)
        for hook in self._hooks:
            hook.pipeline = _active
        prefer(new_recorder)
        _watch(ours, "add_span_processor")
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
    if _active is None:
        return None
    return DeferredRecorder(scope, _active)


def why_not() -> str:
    """Return why recorders are direct; empty if they are deferred."""
    return _why_not


def stay_direct(reason: str) -> None:
    """Note why this process has no pipeline."""
    global _why_not  # noqa: PLW0603 -- one global SDK
    _why_not = reason


def give_way(reason: str, direct: Callable[[Scope], Recorder]) -> None:
    """Let direct recorders take over from now on.

    Args:
        reason: what has changed.
        direct: makes the recorder that takes over.
    """
    global _active, _why_not
    if _active is None:
        return
    recorders = list(_active.recorders)
    _active, _why_not = None, reason
    for recorder in recorders:
        recorder.give_way(direct(recorder.scope))


def _watch(provider: Any, method: str) -> None:
    add = getattr(provider, method)

    def add_processor(*args: Any, **kwargs: Any) -> None:
        from sandscope._direct import DirectRecorder

        add(*args, **kwargs)
        give_way("the program has added a processor, which is to see each record", DirectRecorder)

    setattr(provider, method, add_processor)
