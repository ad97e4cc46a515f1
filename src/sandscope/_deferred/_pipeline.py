"""From the queue of ended executions to instruments and exporters, in batches, on a thread of its own."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from sandscope import _guard, _internals
from sandscope._deferred import _clock
from sandscope._deferred._aggregator import Aggregator
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._identity import Identities
from sandscope._deferred._outlet import Outlet
from sandscope._deferred._record_outcomes import RecordOutcomes, Signal
from sandscope._forking import watch_forks
from sandscope._locks import new_lock
from sandscope._recording import _instruments
from sandscope._recording._carried import carry
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope._scope import Scope

_HIGH_WATER = 2048
_BACKPRESSURE = 64
"""Executions that a thread counts which ends one while the queue is too long."""
_BATCH = 256
_INTERVAL, _SHORT_INTERVAL = 0.2, 0.01
"""Seconds between drains; the short one when the last found so much that another might find too much."""
_PATIENCE = 1.0
"""Seconds to wait for a batch that another thread counts."""
_PAUSE = 0.01
"""Seconds that a thread which ends executions may wait for its turn, once the queue is far too long."""
_LAST = 30.0
"""Seconds to wait for a request that another thread sends."""


class Member(Protocol):
    """What a pipeline needs of a recorder that records into it."""

    scope: Scope

    def settle(self) -> None:
        """Write what was measured outside of executions."""

    def fall_back_to(self, instead: DirectRecorder) -> None:
        """Let a direct recorder take new executions."""


class Pipeline:
    """What the recorders of one process share.

    Attributes:
        queue: ended executions; a recorder appends, the drain takes.
        high_water: ended executions in the queue above which the thread that ends one helps to count them.
        idle: no thread drains yet, or none could be started, or no longer after a fork.
        outcomes: what became of every record.
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
        self.outcomes = RecordOutcomes()
        self.recorders: weakref.WeakSet[Member] = weakref.WeakSet()
        self.tracer_provider, self.meter_provider = tracer_provider, meter_provider
        self.logger_provider = logger_provider
        self.identities = Identities(tracer_provider)
        self._outlets = (
            Outlet("span", span_exporter, self.outcomes),
            Outlet("log", log_exporter, self.outcomes),
        )
        self._collecting, self._sending = new_lock(), new_lock()
        self._counts_now = self._sends_now = False
        self._wake = threading.Event()
        self._closed = False
        self._readers = _internals.Readers(meter_provider)
        _instruments.settle_first(meter_provider, self)
        self.outcomes.show(meter_provider)
        watch_forks(self)

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

    def apply_backpressure(self) -> None:
        """Count some executions on the calling thread: the program is faster than the drain.

        Never sends: it is called by the program's threads, also from finalisers and signal handlers, perhaps
        of the very thread that is in here already. It waits, briefly, only where the queue would grow without
        bound.
        """
        pause = _PAUSE if len(self.queue) > 4 * self.high_water else 0
        if self._collecting.acquire(timeout=pause):
            try:
                self._collect(_BACKPRESSURE)
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
            if self._sends_now:
                return False
            self._sends_now = True
            try:
                for outlet in self._outlets:
                    outlet.send()
            finally:
                self._sends_now = False
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

    def before_fork(self) -> None:
        """Let no batch be counted and no reader collect: the child would get the SDK's locks as they are then."""
        self._readers.hold(_PATIENCE)
        self._collecting.acquire(timeout=_PATIENCE)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        with suppress(RuntimeError):  # it was not to be had
            self._collecting.release()
        self._readers.let_go()

    def after_fork_in_child(self) -> None:
        """Begin anew: what was under way is the parent's."""
        self.queue.clear()
        for outlet in self._outlets:
            outlet.after_fork_in_child()
        self._counts_now = self._sends_now = False
        self._wake = threading.Event()
        self.idle = True
        self._readers.begin_anew()

    def _collect(self, most: int) -> None:
        """Count ended executions; for the thread that holds the lock."""
        if self._counts_now:
            return  # a finaliser or signal handler has interrupted this very thread, perhaps inside the SDK
        self._counts_now = True
        batch: list[DeferredExecution] = []
        try:
            while len(batch) < most and self.queue:
                batch.append(self.queue.popleft())
            if batch:
                self._count(batch)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.collect", error)
        finally:
            self._counts_now = False  # also after a Ctrl-C

    def _count(self, batch: list[DeferredExecution]) -> None:
        by_aggregator: dict[Aggregator, list[DeferredExecution]] = {}
        for execution in batch:
            by_aggregator.setdefault(execution.recorder.aggregator, []).append(execution)
            if execution.details is not None:
                execution._call_on_end()
        traced = [execution for execution in batch if execution.site.traced]
        sampled = self.identities.give(traced)
        self.outcomes.add("span", "unsampled", len(traced) - len(sampled))
        for aggregator, executions in by_aggregator.items():
            try:
                aggregator.count(executions)
            except Exception as error:  # noqa: BLE001 -- the others are to be counted
                _guard.report("metrics.add", error)
        carry(traced)
        spans, logs = self._outlets
        spans.add(sampled)
        logs.add(traced)

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
