"""The export queue of one signal: encodes records in small batches and passes requests to an exporter."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from typing import Any

from opentelemetry import context

from sandscope import _guard, _internals
from sandscope._deferred import _compiled
from sandscope._deferred._background_thread import Worker
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._hot_path import HotPathRecorder
from sandscope._deferred._record_outcomes import Outcome, RecordOutcomes, Signal
from sandscope._locks import new_lock

LIMIT = 8192
"""The maximum number of records in the export queue. Further records are dropped and counted."""
TRIES = 5
"""How often a request is passed to the exporter, which has its own retries. Then its records are counted as lost."""
_PAUSE = 1.0
"""Seconds between a failed export and the next try."""
_REQUEST = 512
_STEP = 32 if _compiled.python_reason else _REQUEST
"""Records to encode at once, in about 0.1 ms. Between batches, the program's threads can acquire the GIL."""


def _suppressed() -> Context:
    suppressed = Context()
    suppressed.run(context.attach, context.Context(dict.fromkeys(_internals.SUPPRESSION_KEYS, True)))
    return suppressed


class Outlet:
    """A bounded export queue, and the thread that exports it. Only one thread at a time exports.

    Attributes:
        signal: the signal that is exported.
        closed: whether exporting has stopped.
    """

    def __init__(
        self,
        signal: Signal,
        exporter: Any,
        outcomes: RecordOutcomes,
        on_progress: Callable[[], object] = lambda: None,
        on_done: Callable[[Sequence[DeferredExecution]], object] = lambda _records: None,
    ) -> None:
        """Create the queue. The thread starts with the first records.

        Args:
            signal: the signal to export.
            exporter: a span or log record exporter of the SDK, or None to export nothing.
            outcomes: counts the records by outcome.
            on_progress: called after an export if the queue has been filling up.
            on_done: called with the records that have been delivered, or will not be exported any more.
        """
        self.signal = signal
        self._exporter = exporter
        self._outcomes = outcomes
        self._on_progress, self._on_done = on_progress, on_done
        self._queue: deque[DeferredExecution] = deque()
        self._batch: list[DeferredExecution] = []
        self._tries, self._retry_at = 0, 0.0
        self.closed = self._is_closing = False
        self._lock, self._export_lock, self._is_exporting = new_lock(), new_lock(), False
        self._worker = Worker(f"sandscope-{signal}s", self._export_in_background)
        self._suppressed = _suppressed()
        self._takes_bytes = exporter is not None and _internals.accept_encoded(exporter)
        self._keeper = _internals.keeper_of(exporter)
        self._encode_lock = new_lock()
        self._was_rejected = _internals.watch_rejections(exporter) if self._takes_bytes else None

    @property
    def sends_otlp(self) -> bool:
        """Whether the exporter is an OTLP exporter of the SDK."""
        return self._takes_bytes

    def add(self, executions: Sequence[DeferredExecution]) -> None:
        """Queue ended executions. Executions beyond the limit are dropped."""
        if self._exporter is None:
            self._on_done(executions)
            return
        with self._lock:
            if self.closed:
                self._outcomes.add(self.signal, "not_delivered", len(executions))
                self._on_done(executions)
                return
            room = max(0, LIMIT - len(self._queue))
            self._queue.extend(executions[:room])
            self._outcomes.add(self.signal, "queue_full", max(0, len(executions) - room))
            self._on_done(executions[room:])

    def export_soon(self) -> None:
        """Export the records in the queue, on the thread of this signal if it can be started."""
        if (self._queue or self._batch) and not self._worker.wake():
            self.export(0)

    def export(self, timeout: float) -> bool:
        """Export the records in the queue. If a request fails, it is tried again later, unless it was rejected.

        Args:
            timeout: the maximum time in seconds to wait for another thread that is exporting.

        Returns:
            False after the timeout, if a request has failed and will be tried again, or if a signal handler calls
            this while the same thread is exporting.
        """
        if not self._export_lock.acquire(timeout=timeout):
            return False
        try:
            if self._is_exporting:
                return False
            self._is_exporting = True
            try:
                count = len(self._queue) // _REQUEST + 1 + bool(self._batch)
                return all(self._export_batch() for _ in range(count))
            finally:
                self._is_exporting = False
        finally:
            self._export_lock.release()

    def keep_surplus(self) -> None:
        """Keep records on disk if the queue fills up while a request is under way: the endpoint is slow, or hangs."""
        while self._keeper is not None and self._is_exporting and len(self._queue) > LIMIT // 2:
            if not self._keep(self._taken()):
                return

    def close(self, timeout: float) -> None:
        """Try once to export the records in the queue, and stop. Later records are counted as not delivered.

        Args:
            timeout: the maximum time in seconds to wait for another thread that is exporting.
        """
        self._is_closing = True
        self.export(timeout)
        self.give_up()

    def give_up(self) -> None:
        """Stop exporting. All records that have not been acknowledged are kept, or counted as not delivered.

        The request that is being exported, if there is one, is not interrupted, and may still arrive.
        """
        with self._lock:
            self.closed = True
            batch, self._batch = self._batch, []
        if self._keeper is not None:
            if self._is_exporting and self._keeper.keep_in_flight():
                self._outcomes.add(self.signal, "kept", len(batch))
                self._on_done(batch)
                batch = []
            with self._lock:
                self._queue.extendleft(reversed(batch))
                batch = []
            while self._queue and self._keep(self._taken()):
                pass
        with self._lock:
            self._outcomes.add(self.signal, "not_delivered", len(batch) + len(self._queue))
            self._queue.clear()
        self._worker.close()

    def after_fork_in_child(self) -> None:
        """Clear the queue, because the parent process exports it. Use new connections."""
        self._queue.clear()
        self._batch, self._tries, self._is_exporting = [], 0, False
        self._worker.after_fork_in_child()
        if self._takes_bytes:
            _internals.abandon_connections(self._exporter)

    def _export_in_background(self) -> None:
        if time.monotonic() >= self._retry_at:
            was_filling_up = len(self._queue) > LIMIT // 4
            if self.export(0) and was_filling_up:
                self._on_progress()

    def _export_batch(self) -> bool:
        """Export one request, and return False if it has failed and is to be tried again."""
        batch = self._take()
        if not batch:
            return True
        delivered = rejected = False
        omitted: list[DeferredExecution] = []
        try:
            request = self._request(batch, omitted)
            # Run in a context that suppresses instrumentation of the exporter's requests. The context is created
            # in advance: if a signal handler raised after an `attach` here, the thread would stay suppressed.
            if request and batch is self._batch:  # otherwise given up in the meantime
                result = self._suppressed.copy().run(self._exporter.export, request)
            else:
                result = None
            rejected = self._was_rejected is not None and self._was_rejected()
            delivered = getattr(result, "name", "SUCCESS") == "SUCCESS" and not rejected
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report(f"send.{self.signal}", error)
        finally:
            is_kept = self._keeper is not None and _internals.was_kept()
            outcome: Outcome = "not_delivered" if not delivered else "kept" if is_kept else "sent"
            self._finish(batch, omitted, outcome, is_final=delivered or rejected)
        return not self._batch

    def _keep(self, batch: list[DeferredExecution]) -> bool:
        """Keep records on disk. Return False if they cannot be kept; they are in the queue again then."""
        omitted: list[DeferredExecution] = []
        is_kept = False
        try:
            with _internals.keeping():
                request = self._request(batch, omitted)
                if request:
                    self._exporter.export(request)
            is_kept = not request or _internals.was_kept()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report(f"send.{self.signal}", error)
        if is_kept:
            self._outcomes.add(self.signal, "not_encoded", len(omitted))
            self._outcomes.add(self.signal, "kept", len(batch) - len(omitted))
            self._on_done(batch)
        else:
            with self._lock:
                self._queue.extendleft(reversed(batch))
        return is_kept

    def _taken(self) -> list[DeferredExecution]:
        with self._lock:
            return [self._queue.popleft() for _ in range(min(_REQUEST, len(self._queue)))]

    def _take(self) -> list[DeferredExecution]:
        """Return the batch that is due: the one that has failed, or the next records in the queue."""
        with self._lock:
            if not self._batch:
                self._tries = 0
                self._batch = self._taken()
            return self._batch

    def _finish(
        self,
        batch: list[DeferredExecution],
        omitted: list[DeferredExecution],
        outcome: Outcome,
        *,
        is_final: bool,
    ) -> None:
        """Count the records of a request, or keep them if it has failed and will be tried again."""
        with self._lock:
            if batch is not self._batch:
                return  # given up, and counted
            self._outcomes.add(self.signal, "not_encoded", len(omitted))
            self._on_done(omitted)
            if omitted:
                unwanted = set(map(id, omitted))
                batch = self._batch = [execution for execution in batch if id(execution) not in unwanted]
            self._tries += 1
            if is_final or self._tries == TRIES:
                self._on_done(batch)
            if is_final or self._is_closing or self._tries == TRIES:
                self._outcomes.add(self.signal, outcome, len(batch))
                self._batch = []
            else:
                self._retry_at = time.monotonic() + _PAUSE

    def _request(self, batch: list[DeferredExecution], omitted: list[DeferredExecution]) -> Any:
        if not self._takes_bytes:
            return list(self._readable(batch, omitted))
        parts: list[bytes] = []
        by_recorder: dict[HotPathRecorder, list[DeferredExecution]] = {}
        for execution in batch:
            by_recorder.setdefault(execution.recorder, []).append(execution)
        for recorder, executions in by_recorder.items():
            encode = recorder.encoder.spans if self.signal == "span" else recorder.encoder.logs
            for start in range(0, len(executions), _STEP):
                if start:
                    time.sleep(0)
                with self._encode_lock:
                    parts.append(encode(executions[start : start + _STEP], omitted.append))
        return _internals.Encoded(b"".join(parts), len(batch) - len(omitted))

    def _readable(
        self, batch: Sequence[DeferredExecution], omitted: list[DeferredExecution]
    ) -> Iterator[Any]:
        from sandscope._deferred._readable import readable_log, readable_span

        make = readable_span if self.signal == "span" else readable_log
        for execution in batch:
            recorder = execution.recorder
            try:
                yield make(execution, recorder.resource, recorder.instrumentation_scope)
            except Exception as error:  # noqa: BLE001 -- the other executions are still exported
                _guard.report("encode", error)
                omitted.append(execution)
