"""The deferred recorder: the calling thread reads the clock twice and appends a record to a queue."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import Context, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sandscope import _guard, _internals
from sandscope._deferred import _clock
from sandscope._deferred._aggregator import Aggregator
from sandscope._deferred._compiled import HotPath
from sandscope._deferred._deferred_execution import DeferredExecution, recorded_by
from sandscope._deferred._encode import Encoder
from sandscope._deferred._pipeline import Pipeline
from sandscope._details import Measurement, Value
from sandscope._execution import Execution, Site
from sandscope._metric import Metric
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope._recording._emitter import MAX_PENDING, Emitter
from sandscope._recording._recorder import Begin, begin_nothing
from sandscope._scope import Scope


class DeferredRecorder(HotPath, Emitter):
    """Records the executions of one instrumentation in a pipeline.

    Attributes:
        fallback: the direct recorder that records new executions fallback, or None.
    """

    def __init__(self, scope: Scope, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.fallback: DirectRecorder | None = None
        self._has_changed = False
        Emitter.__init__(
            self, scope, pipeline.tracer_provider, pipeline.meter_provider, pipeline.logger_provider
        )
        self.instrumentation_scope = InstrumentationScope(scope.name, scope.version)
        self._encoder: Encoder | None = None
        self.aggregator = Aggregator(pipeline.meter_provider, scope)
        self.identify = pipeline.identities.make
        variable = _internals.context_variable()
        assert variable is not None  # noqa: S101 -- `RecorderSetup` has checked this
        self._execution_class = recorded_by(self)
        HotPath.__init__(
            self, self._execution_class, variable, self.aggregator.starts, pipeline.queue, pipeline.high_water
        )
        self.slots = pipeline.black_box.slots
        pipeline.recorders.add(self)

    @property
    def resource(self) -> Resource:
        """The resource of the telemetry."""
        return self.pipeline.resource

    @property
    def encoder(self) -> Encoder:
        """The encoder of this recorder's executions. Used only by the threads that export, one for each signal."""
        if self._encoder is None:
            self._encoder = Encoder(self.resource, self.instrumentation_scope)
        return self._encoder

    def measure(self, metric: Metric, value: float, attributes: Mapping[str, Value] | None = None) -> None:
        """See `Emitter.measure`. Values of histograms are written soon, even if no execution ends."""
        Emitter.measure(self, metric, value, attributes)
        # This may start a thread, which is not allowed in finalizers; they do not record histograms.
        if metric.instrument == "histogram" and self.pipeline.idle:
            self.pipeline.wake()

    def measure_all(self, counts: tuple[Measurement, ...], value: Measurement | None = None) -> None:
        """See `Recorder.measure_all` and `measure`."""
        self._pending_groups.append(counts)  # not by `Emitter.measure_all`: one call less for each store
        if value is not None:
            if self.pipeline.idle or len(self._pending_values) >= MAX_PENDING:
                self.measure(*value)
            else:
                self._pending_values.append(value)
        if len(self._pending_groups) > MAX_PENDING:
            self._split_groups()

    def export_soon(self) -> None:
        """See `Recorder.export_soon`."""
        self._has_changed = True
        if self.pipeline.idle:
            self.pipeline.wake()

    def settle(self) -> bool:
        """See `Emitter.settle`."""
        has_changed, self._has_changed = self._has_changed, False
        return super().settle() or has_changed

    def _write_values(self) -> None:
        """See `Emitter`. The values of a histogram are written together, as the durations of executions are."""
        if self.fallback is None:
            self._write_histograms()
        super()._write_values()

    def _write_histograms(self) -> None:
        series: dict[object, tuple[Metric, Mapping[str, Value], list[float]]] = {}
        for _ in range(len(self._pending_values)):
            try:
                measurement = self._pending_values.popleft()
            except IndexError:  # another thread has emptied the queue
                break
            metric, value, attributes = measurement
            key = metric.name, None if attributes is None else tuple(sorted(attributes.items()))
            if metric.instrument == "histogram":
                series.setdefault(key, (metric, attributes or {}, []))[2].append(value)
            else:
                self._pending_values.append(measurement)
        for metric, with_attributes, values in series.values():
            self.aggregator.write(metric, with_attributes, values)

    def prepare(self, site: Site) -> Execution | None:
        """See `Recorder.prepare`."""
        if self.fallback is not None:
            return self.fallback.prepare(site)
        context = get_current()  # not `check_context`, which may start a thread
        if any(context.get(key) for key in _internals.SUPPRESSION_KEYS):
            return None
        return self._execution_class.prepared(site, context)

    def begin_at(self, site: Site, start_time: int) -> Execution | None:
        """See `Recorder.begin_at`."""
        if self.fallback is not None:
            return self.fallback.begin_at(site, start_time)
        execution = self.begin(site)
        if isinstance(execution, DeferredExecution):
            execution.started = min(execution.started, start_time - _clock.offset)
            if self.slots is not None:
                self.slots.begin(execution)
        return execution

    def check_context(self, context: Context) -> Begin | None:
        """See `HotPath.check_context`."""
        if self.fallback is not None:
            return self.fallback.begin
        if any(context.get(key) for key in _internals.SUPPRESSION_KEYS):
            return begin_nothing
        if self.pipeline.idle:
            self.pipeline.wake()
        self.checked = context
        if self.fallback is not None:  # another thread has set it in the meantime
            self.checked = None
        return None

    def fall_back_to(self, fallback: DirectRecorder) -> None:
        """Use a direct recorder for new executions, and its providers for all other telemetry."""
        self.fallback = fallback
        self.checked = None
        self._providers = fallback._providers
        self.bind()

    def after_fork_in_child(self) -> None:
        """Reset the recorder: running executions and pending data belong to the parent process."""
        super().after_fork_in_child()
        self.aggregator.after_fork_in_child()
        self._encoder = None  # the SDK sets a new resource in the child after this call
        self.checked = None

    def on_context_mismatch(self, error: ValueError) -> None:
        """See `HotPath.on_context_mismatch`."""
        _guard.report("recorder.context", error)

    def apply_backpressure(self) -> None:
        """See `HotPath.apply_backpressure`."""
        self.pipeline.apply_backpressure()
