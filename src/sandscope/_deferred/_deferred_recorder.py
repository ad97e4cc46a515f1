"""The deferred recorder: two clock readings and one append on the calling thread, all else later."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sandscope import _guard, _internals
from sandscope._deferred._aggregator import Aggregator
from sandscope._deferred._compiled import HotPath
from sandscope._deferred._deferred_execution import recorded_by
from sandscope._deferred._encode import Encoder
from sandscope._deferred._pipeline import Pipeline
from sandscope._execution import Measurement, Value
from sandscope._metric import Metric
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope._recording._emitter import MOST, Emitter
from sandscope._recording._recorder import Begin, recording_nothing
from sandscope._scope import Scope


class DeferredRecorder(HotPath, Emitter):
    """Records the executions of one instrumentation into a pipeline.

    Attributes:
        instead: a recorder that takes new executions in its place, or None.
    """

    def __init__(self, scope: Scope, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.instead: DirectRecorder | None = None
        Emitter.__init__(
            self, scope, pipeline.tracer_provider, pipeline.meter_provider, pipeline.logger_provider
        )
        self.instrumentation_scope = InstrumentationScope(scope.name, scope.version)
        self._encoder: Encoder | None = None
        self.aggregator = Aggregator(pipeline.meter_provider, scope)
        self.identify = pipeline.identities.make
        variable = _internals.context_variable()
        assert variable is not None  # noqa: S101 -- `RecorderSetup` has asked before
        HotPath.__init__(
            self, recorded_by(self), variable, self.aggregator.starts, pipeline.queue, pipeline.high_water
        )
        pipeline.recorders.add(self)

    @property
    def resource(self) -> Resource:
        """Whose telemetry it is."""
        return self.pipeline.resource

    @property
    def encoder(self) -> Encoder:
        """Encodes what it has recorded; for the thread that sends."""
        if self._encoder is None:
            self._encoder = Encoder(self.resource, self.instrumentation_scope)
        return self._encoder

    def measure(self, metric: Metric, value: float, attributes: Mapping[str, Value] | None = None) -> None:
        """See `Emitter.measure`; what cannot be added up is soon written, even if no execution ends."""
        Emitter.measure(self, metric, value, attributes)
        # Histograms are not measured in finalisers, which may start no threads.
        if metric.instrument == "histogram" and self.pipeline.idle:
            self.pipeline.wake()

    def measure_all(self, measurements: tuple[Measurement, ...]) -> None:
        """See `Emitter.measure_all` and `measure`."""
        self._together.append(measurements)
        if len(self._together) > MOST:
            self._take_apart()
        if self.pipeline.idle and any(metric.instrument == "histogram" for metric, _, _ in measurements):
            self.pipeline.wake()

    def check_context(self, context: Context) -> Begin | None:
        """See `HotPath.check_context`."""
        if self.instead is not None:
            return self.instead.begin
        if any(context.get(key) for key in _internals.SUPPRESSION_KEYS):
            return recording_nothing
        if self.pipeline.idle:
            self.pipeline.wake()
        self.checked = context
        if self.instead is not None:  # set by another thread since
            self.checked = None
        return None

    def fall_back_to(self, instead: DirectRecorder) -> None:
        """Let a direct recorder take new executions, and its providers all else."""
        self.instead = instead
        self.checked = None
        self._providers = instead._providers
        self.bind()

    def after_fork_in_child(self) -> None:
        """Begin anew: what runs, and what is being counted, is the parent's."""
        super().after_fork_in_child()
        self.aggregator.after_fork_in_child()
        self._encoder = None  # the SDK gives a child a resource of its own, a little later than this
        self.checked = None

    def on_context_mismatch(self, error: ValueError) -> None:
        """See `HotPath.on_context_mismatch`."""
        _guard.report("recorder.context", error)

    def apply_backpressure(self) -> None:
        """See `HotPath.apply_backpressure`."""
        self.pipeline.apply_backpressure()
