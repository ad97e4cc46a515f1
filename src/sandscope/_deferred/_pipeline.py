"""From the queue of ended executions to instruments and exporters, in batches, on a thread of its own."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from sandscope import _guard, _internals
from sandscope._deferred import _clock
from sandscope._deferred._execution import DeferredExecution
from sandscope._deferred._identity import Identities
from sandscope._deferred._losses import Losses, Signal
from sandscope._deferred._metrics import Aggregator
from sandscope._deferred._outlet import Outlet

if TYPE_CHECKING:
    from sandscope._deferred._recorder import DeferredRecorder

_HIGH_WATER = 2048
_HELP = 64
_BATCH = 256
_INTERVAL, _SHORT_INTERVAL = 0.2, 0.01
"""Seconds between drains; the short one when the last found so much that another might find too much."""
_PATIENCE = 1.0
"""Seconds to wait for a batch that another thread counts."""
_PAUSE = 0.01
"""Seconds that a thread which ends executions may wait for its turn, once the queue is far too long."""
_LAST = 30.0
"""Seconds to wait for a request that another thread sends."""


class Pipeline:
    """What the recorders of one process share.

    Attributes:
        queue: ended executions; a recorder appends, the drain takes.
        high_water: ended executions in the queue above which the thread that ends one helps to count them.
        idle: no thread drains yet, or none could be started, or no longer after a fork.
        losses: what became of every record.
        recorders: who records into it.
        tracer_provider: gets the spans that an instrumentation starts beside executions; the same for
            `meter_provider` and `logger_provider`, of which None is the global one.
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
    ) -> None:
        """Prepare; the thread starts with the first execution.

        Args:
            tracer_provider: gives sampler, ids and resource.
            meter_provider: gets the metrics.
            span_exporter: gets the spans; None: nobody does.
            log_exporter: gets the log records; None: nobody does.
            high_water: see the attribute.
            logger_provider: gets log records that belong to no execution; the global one by default.
        """
        self.high_water = high_water
        self.queue: deque[DeferredExecution] = deque()
        self.idle = True
        self.losses = Losses()
        self.recorders: weakref.WeakSet[DeferredRecorder] = weakref.WeakSet()
        self.tracer_provider, self.meter_provider = tracer_provider, meter_provider
        self.logger_provider = logger_provider
        self.identities = Identities(tracer_provider)
        self._outlets = (
            Outlet("span", span_exporter, self.losses),
            Outlet("log", log_exporter, self.losses),
        )
        # Reentrant: finalisers and signal handlers come here from within.
        self._collecting, self._sending = threading.RLock(), threading.RLock()
        self._busy = False
        self._wake = threading.Event()
        self._closed = False
        self._readers = _internals.Readers(meter_provider)
        self.losses.show(meter_provider)
        reference = weakref.ref(self)
        # No fork while a batch is being counted or a reader collects: the child would get the SDK's locks as
        # they are then.
        os.register_at_fork(
            before=lambda: _on(reference, Pipeline._hold),
            after_in_parent=lambda: _on(reference, Pipeline._let_go),
            after_in_child=lambda: _on(reference, Pipeline.forget),
        )

    @property
    def resource(self) -> Resource:
        """Whose telemetry it is; that of a forked child may be another one than its parent's."""
        return self.tracer_provider.resource

    def wake(self) -> None:
        """Start the thread that drains."""
        if self._closed:
            return
        self.idle = False
        try:
            threading.Thread(target=self._run, name="sandscope-recorder", daemon=True).start()
        except RuntimeError as error:  # no more threads, or the interpreter is about to end
            self.idle = True
            _guard.report("recorder.thread", error)

    def help(self) -> None:
        """Count some executions on the calling thread: the program is faster than the drain.

        Never sends: it is called by the program's threads, also from finalisers and signal handlers, perhaps
        of the very thread that is in here already. It waits, briefly, only where the queue would grow without
        bound.
        """
        pause = _PAUSE if len(self.queue) > 4 * self.high_water else 0
        if self._collecting.acquire(timeout=pause):
            try:
                self._collect(_HELP)
            finally:
                self._collecting.release()

    def settle(self) -> None:
        """Count all that has ended so far; what another thread is counting is waited for."""
        for _ in range(len(self.queue) // _BATCH + 1):
            if not self._collecting.acquire(timeout=_PATIENCE):
                return
            try:
                self._collect(_BATCH)
            finally:
                self._collecting.release()  # between batches it is the turn of those who help

    def flush(self, timeout: float = _LAST) -> bool:
        """Send all that has ended so far.

        Args:
            timeout: seconds to wait for what another thread is sending.

        Returns:
            False if it took longer, or this very thread is sending: a signal handler has interrupted it.
        """
        _clock.refresh()
        self.settle()
        if not self._sending.acquire(timeout=timeout):
            return False
        try:
            if self._busy:
                return False
            self._busy = True
            try:
                for outlet in self._outlets:
                    outlet.send()
            finally:
                self._busy = False
        finally:
            self._sending.release()
        return True

    def close(self, signal: Signal | None = None) -> None:
        """Flush, and send no more: spans and log records that still come are counted as not delivered.

        Args:
            signal: whose provider shuts down; by default, all.
        """
        self.flush()
        for outlet in self._outlets:
            if signal in {None, outlet.signal}:
                outlet.close()
        if all(outlet.closed for outlet in self._outlets):
            self._closed = True
            self._wake.set()
        self.flush(0)

    def forget(self) -> None:
        """Start anew in a forked child: what was under way is the parent's."""
        self.queue.clear()
        for outlet in self._outlets:
            outlet.forget()
        self.losses.forget()
        self._collecting, self._sending = threading.RLock(), threading.RLock()
        self._busy = False
        self._wake = threading.Event()
        self.idle = True
        for recorder in list(self.recorders):
            recorder.forget()
        self._readers.begin_anew()

    def _collect(self, most: int) -> None:
        batch: list[DeferredExecution] = []
        try:
            while len(batch) < most:
                batch.append(self.queue.popleft())
        except IndexError:  # that was all
            pass
        try:
            if batch:
                self._count(batch)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.collect", error)

    def _count(self, batch: list[DeferredExecution]) -> None:
        by_aggregator: dict[Aggregator, list[DeferredExecution]] = {}
        for execution in batch:
            by_aggregator.setdefault(execution.recorder.aggregator, []).append(execution)
            if execution.details is not None:
                execution.close_emitted()
        traced = [execution for execution in batch if execution.site.traced]
        sampled = self.identities.give(traced)
        self.losses.add("span", "unsampled", len(traced) - len(sampled))
        for aggregator, executions in by_aggregator.items():
            aggregator.add(executions)
        spans, logs = self._outlets
        spans.add(sampled)
        logs.add(traced)

    def _hold(self) -> None:
        self._readers.hold(_PATIENCE)
        self._collecting.acquire(timeout=_PATIENCE)

    def _let_go(self) -> None:
        with suppress(RuntimeError):  # it was not to be had
            self._collecting.release()
        self._readers.let_go()

    def _run(self) -> None:
        wake, interval = self._wake, _INTERVAL
        while not self._closed and wake is self._wake:
            wake.wait(interval)
            try:
                self.settle()
                crowded = any(outlet.crowded for outlet in self._outlets)
                interval = _SHORT_INTERVAL if crowded else _INTERVAL
                self.flush()
                for recorder in list(self.recorders):
                    recorder.settle()
            except Exception as error:  # noqa: BLE001 -- the thread must go on
                _guard.report("recorder.drain", error)


def _on(reference: weakref.ref[Pipeline], step: Callable[[Pipeline], None]) -> None:
    pipeline = reference()
    if pipeline is not None:
        try:
            step(pipeline)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.fork", error)
