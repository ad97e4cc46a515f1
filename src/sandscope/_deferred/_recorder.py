"""The deferred recorder: two clock readings and one append on the calling thread, all else later."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sandscope import _guard, _internals
from sandscope._deferred._compiled import HotPath
from sandscope._deferred._encode import Encoder
from sandscope._deferred._execution import recorded_by
from sandscope._deferred._metrics import Aggregator
from sandscope._deferred._pipeline import Pipeline
from sandscope._emitter import Emitter
from sandscope._metric import Metric
from sandscope._recorder import Begin, Recorder, recording_nothing
from sandscope._scope import Scope
from sandscope._site import Value


class DeferredRecorder(HotPath, Emitter):
    """Records the executions of one instrumentation into a pipeline.

    Attributes:
        instead: a recorder that takes new executions in its place, or None.
    """

    def __init__(self, scope: Scope, pipeline: Pipeline) -> None:
        Emitter.__init__(
            self, scope, pipeline.tracer_provider, pipeline.meter_provider, pipeline.logger_provider
        )
        self.pipeline = pipeline
        self.instead: Recorder | None = None
        self.instrumentation_scope = InstrumentationScope(scope.name, scope.version)
        self.encoder = Encoder(pipeline.resource, self.instrumentation_scope)
        self.aggregator = Aggregator(pipeline.meter_provider, scope, pipeline.settle)
        self.identify = pipeline.identities.make
        variable = _internals.context_variable()
        assert variable is not None  # noqa: S101 -- `Setup` has asked before
        HotPath.__init__(
            self, recorded_by(self), variable, self.aggregator.starts, pipeline.queue, pipeline.high_water
        )
        pipeline.recorders.add(self)

    def measure(self, metric: Metric, value: float, attributes: Mapping[str, Value] | None = None) -> None:
        """See `Emitter.measure`; what cannot be added up is soon written, even if no execution ends."""
        Emitter.measure(self, metric, value, attributes)
        # Histograms are not measured in finalisers, which may start no threads.
        if metric.instrument == "histogram" and self.pipeline.idle:
            self.pipeline.wake()

    @property
    def emitter(self) -> Emitter:
        """See `Recorder.emitter`."""
        return self if self.instead is None else self.instead.emitter

    def unusual(self, context: Context) -> Begin | None:
        """See `HotPath.unusual`."""
        if self.instead is not None:
            return self.instead.begin
        if any(context.get(key) for key in _internals.SUPPRESSION_KEYS):
            return recording_nothing
        if self.pipeline.idle:
            self.pipeline.wake()
        self.usual = context
        if self.instead is not None:  # set by another thread since
            self.usual = None
        return None

    def give_way(self, instead: Recorder) -> None:
        """Let another recorder take new executions."""
        self.instead = instead
        self.usual = None

    def forget(self) -> None:
        """Start anew in a forked child."""
        self.aggregator.forget()
        self.encoder = Encoder(self.pipeline.resource, self.instrumentation_scope)
        self.usual = None

    def misplaced(self, error: ValueError) -> None:
        """See `HotPath.misplaced`."""
        _guard.report("recorder.context", error)

    def help(self) -> None:
        """See `HotPath.help`."""
        self.pipeline.help()
