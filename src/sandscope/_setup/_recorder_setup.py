"""Chooses the recorder of this process: deferred if possible, otherwise direct, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from sandscope import _internals, _settings
from sandscope._deferred._flush_hooks import LogHook, SpanHook
from sandscope._locks import new_lock
from sandscope._recording._choice import prefer
from sandscope._setup._predecessors import recover_predecessors

# Imported when the first recorder is created: until then, the program needs nothing but the SDK.
if TYPE_CHECKING:
    from sandscope._deferred._deferred_recorder import DeferredRecorder
    from sandscope._deferred._pipeline import Pipeline
    from sandscope._scope import Scope

_lock = new_lock()
_active: Pipeline | None = None
_create: Callable[[], Pipeline] | None = None
_pipeline: Pipeline | None = None
"""The pipeline of this process, also if recorders are direct now and what it has recorded is still to be exported."""
_direct_reason = "the SDK was not set up by Sandscope's distro"


class RecorderSetup:
    """Keeps the exporters that the SDK's configurator creates, and creates the pipeline with them.

    Pass `arguments` to the configurator. The SDK's own processors use the same exporters, for the spans and log
    records that the program itself emits.
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
        """Create the pipeline of this process, if the deferred recorder can be used with the global providers.

        Args:
            own_providers: whether the program has set some of the providers.
        """
        global _create, _direct_reason  # noqa: PLW0603 -- one global SDK
        tracer_provider, meter_provider = trace.get_tracer_provider(), metrics.get_meter_provider()
        sdk = type(tracer_provider) is TracerProvider and type(meter_provider) is MeterProvider
        _direct_reason = self._find_reason(own_providers=own_providers or not sdk)
        if _direct_reason:
            return
        _create = lambda: self._pipeline(tracer_provider, meter_provider)  # noqa: E731 -- once, by `new_recorder`
        prefer(new_recorder)
        _watch_processors(tracer_provider, "add_span_processor")
        _watch_processors(_logs.get_logger_provider(), "add_log_record_processor")

    def _pipeline(self, tracer_provider: Any, meter_provider: Any) -> Pipeline:
        from sandscope._deferred import _compiled
        from sandscope._deferred._pipeline import Pipeline

        span_exporter, log_exporter = (
            exporters[0] if exporters else None for exporters in (self._spans, self._logs)
        )
        folder = _settings.black_box_folder(compiled=not _compiled.python_reason)
        pipeline = Pipeline(tracer_provider, meter_provider, span_exporter, log_exporter, black_box=folder)
        if folder is not None:
            recover_predecessors(folder, tracer_provider.resource)
        for hook in self._hooks:
            hook.pipeline = pipeline
        return pipeline

    def _find_reason(self, *, own_providers: bool) -> str:
        if own_providers:
            return "the program has set its own providers"
        if len(self._spans) > 1 or len(self._logs) > 1:
            return "there is more than one exporter"
        if _internals.context_variable() is None:
            return "OpenTelemetry's context is not kept in a context variable"
        return ""

    @staticmethod
    def _keeping(exporters: list[Any], processor: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def create(exporter: Any) -> Any:
            exporters.append(exporter)
            return processor(exporter)

        return create


def new_recorder(scope: Scope) -> DeferredRecorder | None:
    """Return a deferred recorder for the global providers, or None to use a direct recorder."""
    global _active, _create, _pipeline  # noqa: PLW0603 -- one global SDK
    with _lock:  # instrumentations and the program's threads may need their first recorders at the same time
        if _create is not None:
            _active, _create = _create(), None
            _pipeline = _active
    if _active is None:
        return None
    from sandscope._deferred._deferred_recorder import DeferredRecorder

    return DeferredRecorder(scope, _active)


def has_recorded() -> bool:
    """Return whether an execution has begun in this process, with a deferred recorder."""
    return _pipeline is not None and not _pipeline.idle


def remove_black_box() -> None:
    """Remove the black box of this process, if there is one: the process ends as it should."""
    if _pipeline is not None:
        _pipeline.black_box.remove()


def recover_workers(seconds: float) -> None:
    """Send what the black boxes of workers hold that have been terminated, if there are black boxes.

    Args:
        seconds: to wait for this at most. It then continues while this process runs.
    """
    from sandscope._deferred import _compiled

    folder = _settings.black_box_folder(compiled=not _compiled.python_reason)
    resource = getattr(trace.get_tracer_provider(), "resource", None)
    if folder is not None and resource is not None:
        thread = recover_predecessors(folder, resource)
        if thread is not None:
            thread.join(seconds)


def give_up() -> None:
    """Count what deferred recorders could not export as not delivered, and export no more."""
    if _pipeline is not None:
        _pipeline.give_up()


def direct_reason() -> str:
    """Return the reason why recorders are direct; an empty string if they are deferred."""
    return _direct_reason


def disable_deferred(reason: str) -> None:
    """Use direct recorders in this process.

    Args:
        reason: the result of `direct_reason`.
    """
    global _direct_reason  # noqa: PLW0603 -- one global SDK
    _direct_reason = reason


def fall_back_to_direct(reason: str) -> None:
    """Replace deferred recorders with direct recorders from now on.

    Args:
        reason: what has changed; the result of `direct_reason`.
    """
    global _active, _create, _direct_reason
    if _active is None and _create is None:
        return
    recorders = [] if _active is None else list(_active.recorders)
    _active, _create, _direct_reason = None, None, reason
    for recorder in recorders:
        from sandscope._recording._direct_recorder import DirectRecorder

        recorder.fall_back_to(DirectRecorder(recorder.scope))


def _watch_processors(provider: Any, method: str) -> None:
    add = getattr(provider, method)

    def add_processor(*args: Any, **kwargs: Any) -> None:
        add(*args, **kwargs)
        fall_back_to_direct("the program has added a processor, which must receive every record")

    setattr(provider, method, add_processor)
