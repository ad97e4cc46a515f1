"""Processes the queue of ended executions in batches, on a background thread. Each signal is exported by another."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from sandscope import _guard, _internals, _settings
from sandscope._deferred import _clock
from sandscope._deferred._aggregator import Aggregator
from sandscope._deferred._box_layout import BOTH_DONE, LOG_DONE, METRICS_DONE, SPAN_DONE
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._identity import Identities, count_not_identified
from sandscope._deferred._metric_exports import MetricExports
from sandscope._deferred._outlet import Outlet
from sandscope._deferred._process_box import ProcessBox
from sandscope._deferred._record_outcomes import RecordOutcomes, Signal
from sandscope._locks import new_lock
from sandscope._own_process import _forking
from sandscope._recording import _instruments
from sandscope._recording._carried import carry
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope._scope import Scope

_HIGH_WATER = 2048
_BACKPRESSURE = 64
"""The number of executions that the calling thread processes if the queue is too long."""
_BATCH = 256
_INTERVAL = 0.2
"""Seconds between batches, unless an export queue is filling up and has been exported."""
_LOCK_TIMEOUT = 1.0
"""Seconds to wait for another thread that is processing a batch."""
_BACKPRESSURE_TIMEOUT = 0.01
"""Seconds that the calling thread waits to process executions if the queue is much too long."""
_FLUSH_TIMEOUT = 30.0
"""Seconds to wait for other threads that are exporting."""


class PipelineRecorder(Protocol):
    """The part of a recorder that its pipeline uses."""

    scope: Scope
    slots: Any

    def settle(self) -> bool:
        """Write the pending measurements. Returns whether there were any."""

    def fall_back_to(self, fallback: DirectRecorder) -> None:
        """Use a direct recorder for new executions."""


class Pipeline:
    """The queue, the background thread and the exporters that the recorders of a process share.

    Attributes:
        queue: ended executions, appended by recorders.
        high_water: the length of the queue above which the calling thread also processes executions.
        idle: whether no background thread is running: not started yet, failed to start, or lost in a fork.
        outcomes: counts the records by outcome.
        recorders: the recorders that use this pipeline.
        tracer_provider: receives spans outside of executions.
        meter_provider: receives the metrics.
        logger_provider: receives log records outside of executions; None is the global provider.
        black_box: the black box of this process.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider,
        meter_provider: MeterProvider,
        span_exporter: Any = None,
        log_exporter: Any = None,
        high_water: int = _HIGH_WATER,
        *,
        logger_provider: LoggerProvider | None = None,
        black_box: Path | None = None,
    ) -> None:
        """Create the pipeline. The background thread starts with the first execution.

        Args:
            tracer_provider: provides the sampler, the id generator and the resource.
            meter_provider: receives the metrics.
            span_exporter: receives the spans; None to export no spans.
            log_exporter: receives the log records; None to export no log records.
            high_water: see the attribute.
            logger_provider: receives log records outside of executions; the global provider by default.
            black_box: the folder for this process's black box; None for none.
        """
        self.high_water = high_water
        self.queue: deque[DeferredExecution] = deque()
        self.idle = True
        self.outcomes = RecordOutcomes()
        self.recorders: weakref.WeakSet[PipelineRecorder] = weakref.WeakSet()
        self.tracer_provider, self.meter_provider = tracer_provider, meter_provider
        self.logger_provider = logger_provider
        self.identities = Identities(tracer_provider)
        self.black_box = ProcessBox(black_box, self.recorders)
        self._wake = threading.Event()
        self._outlets = (
            Outlet(
                "span", span_exporter, self.outcomes, self._drain_now, partial(self.black_box.mark, SPAN_DONE)
            ),
            Outlet(
                "log", log_exporter, self.outcomes, self._drain_now, partial(self.black_box.mark, LOG_DONE)
            ),
        )
        self._collect_lock = new_lock()
        self._is_collecting = False
        self._closed = False
        self._metric_exports = MetricExports(partial(_internals.export_metrics, meter_provider))
        self._is_measured = False
        self._collected = threading.local()
        self._sees_exports = _internals.watch_exports(meter_provider, self._on_export)
        _instruments.settle_before_collection(meter_provider, self)
        self.outcomes.show(meter_provider)
        _forking.watch_forks(self)

    @property
    def resource(self) -> Resource:
        """The resource of the telemetry. It may change in a forked child."""
        return self.tracer_provider.resource

    def wake(self) -> None:
        """Start the background thread."""
        if self._closed:
            return
        self.idle = False
        if any(outlet.sends_otlp for outlet in self._outlets):
            self.black_box.open(self.resource)
        try:
            threading.Thread(target=self._run, name="sandscope-recorder", daemon=True).start()
        except RuntimeError as error:  # too many threads, or interpreter shutdown
            self.idle = True
            _guard.report("recorder.thread", error)

    def apply_backpressure(self) -> None:
        """Process some executions on the calling thread, because the background thread is too slow.

        Never exports, because the program's threads call this, also in finalizers and signal handlers, which may
        interrupt this method on the same thread. Waits briefly if the queue would otherwise grow without limit.
        """
        timeout = _BACKPRESSURE_TIMEOUT if len(self.queue) > 4 * self.high_water else 0
        if self._collect_lock.acquire(timeout=timeout):
            try:
                self._collect(_BACKPRESSURE)
            finally:
                self._collect_lock.release()

    def settle(self) -> None:
        """Process all executions that have ended. Waits for a batch that another thread is processing."""
        for _ in range(len(self.queue) // _BATCH + 1):
            if not self._collect_lock.acquire(timeout=_LOCK_TIMEOUT):
                return
            try:
                self._collect(_BATCH)
            finally:
                self._collect_lock.release()  # lets other threads process a batch in between
        self._collected.counted = self.black_box.counted  # if metrics are collected, this is in them

    def flush(self, timeout: float = _FLUSH_TIMEOUT, signal: Signal | None = None) -> bool:
        """Process all executions that have ended, and export them.

        Args:
            timeout: the maximum time in seconds to wait for other threads that are exporting.
            signal: the signal to export; by default, both.

        Returns:
            Whether everything was exported. See `Outlet.export`.
        """
        deadline = time.monotonic() + timeout
        _clock.refresh()
        self.settle()
        results = [
            outlet.export(max(0.0, deadline - time.monotonic())) for outlet in self._outlets_of(signal)
        ]
        return all(results)

    def close(self, signal: Signal | None = None) -> None:
        """Flush, and stop exporting. Later spans and log records are counted as not delivered.

        Args:
            signal: the signal whose provider shuts down; by default, both.
        """
        self.settle()
        for outlet in self._outlets_of(signal):
            outlet.close(_FLUSH_TIMEOUT)
        self._end_if_closed()

    def give_up(self) -> None:
        """Stop exporting at once. Records that have not been acknowledged are counted as not delivered."""
        self.settle()
        for outlet in self._outlets:
            outlet.give_up()
        self._end_if_closed()

    def after_fork_in_child(self) -> None:
        """Reset the pipeline: queued executions belong to the parent process."""
        self.black_box.after_fork_in_child()
        self.queue.clear()
        self.outcomes.after_fork_in_child()
        for outlet in self._outlets:
            outlet.after_fork_in_child()
        self._metric_exports.after_fork_in_child()
        self._is_collecting = self._is_measured = False
        self._wake = threading.Event()
        self.idle = True

    def _collect(self, max_count: int) -> None:
        """Process up to ``max_count`` ended executions. The caller holds the lock."""
        if self._is_collecting:
            return  # called by a finalizer or signal handler that has interrupted this method, perhaps inside the SDK
        self._is_collecting = True
        batch: list[DeferredExecution] = []
        try:
            while len(batch) < max_count and self.queue:
                batch.append(self.queue.popleft())
            if batch:
                self._count(batch)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.collect", error)
        finally:
            self._is_collecting = False  # also after a Ctrl-C

    def _count(self, batch: list[DeferredExecution]) -> None:
        forked_at = _forking.forked_at()
        if forked_at:
            # The parent process records the execution in which it has forked.
            batch = [execution for execution in batch if execution.started >= forked_at]
        by_aggregator: dict[Aggregator, list[DeferredExecution]] = {}
        for execution in batch:
            by_aggregator.setdefault(execution.recorder.aggregator, []).append(execution)
            if execution.details is not None:
                execution._call_on_end()
        traced = [execution for execution in batch if execution.site.traced]
        # Attributes that may be on metrics are carried before executions are counted, to those without a span as well.
        carry(batch if _settings.metric_attributes() else traced)
        sampled = self.identities.give(traced)
        if len(sampled) < len(traced):
            not_identified = count_not_identified(traced)
            self.outcomes.add("span", "not_identified", not_identified)
            self.outcomes.add("span", "unsampled", len(traced) - len(sampled) - not_identified)
            self.black_box.mark(SPAN_DONE, _without(traced, sampled))
        for aggregator, executions in by_aggregator.items():
            try:
                aggregator.count(executions)
            except Exception as error:  # noqa: BLE001 -- the other executions are still counted
                _guard.report("metrics.add", error)
        if self._sees_exports:
            self.black_box.count(batch)
        else:
            self.black_box.mark(METRICS_DONE, batch)
        if len(traced) < len(batch):
            self.black_box.mark(BOTH_DONE, _without(batch, traced))
        spans, logs = self._outlets
        spans.add(sampled)
        logs.add(traced)
        self._is_measured = True

    def _on_export(self) -> None:
        """Note that what this thread has collected is exported. The black box need not report it any more."""
        self.black_box.on_export(getattr(self._collected, "counted", 0))

    def _outlets_of(self, signal: Signal | None) -> list[Outlet]:
        return [outlet for outlet in self._outlets if signal in {None, outlet.signal}]

    def _end_if_closed(self) -> None:
        """End the threads if no signal is exported any more."""
        if all(outlet.closed for outlet in self._outlets):
            self._closed = True
            self._wake.set()
            self._metric_exports.close()

    def _drain_now(self) -> None:
        self._wake.set()

    def _run(self) -> None:
        wake = self._wake
        while not self._closed and wake is self._wake:
            wake.wait(_INTERVAL)
            wake.clear()
            try:
                self._drain()
            except Exception as error:  # noqa: BLE001 -- the thread must keep running
                _guard.report("recorder.drain", error)

    def _drain(self) -> None:
        """Process all executions that have ended, and let the threads of the signals export them."""
        _clock.refresh()
        self.black_box.show_life()
        for outlet in self._outlets:
            outlet.keep_surplus()
        self.settle()
        for outlet in self._outlets:
            outlet.export_soon()
        for recorder in list(self.recorders):
            self._is_measured |= recorder.settle()
        if self._is_measured:
            self._is_measured = False
            self._metric_exports.on_measurement()


def _without(
    executions: Sequence[DeferredExecution], others: Sequence[DeferredExecution]
) -> list[DeferredExecution]:
    unwanted = set(map(id, others))
    return [execution for execution in executions if id(execution) not in unwanted]
