"""The export queue of one signal: encodes records in small batches and passes requests to an exporter."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextvars import Context
from typing import Any

from opentelemetry import context

from sandscope import _guard, _internals
from sandscope._deferred import _compiled
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._deferred._hot_path import HotPathRecorder
from sandscope._deferred._record_outcomes import RecordOutcomes, Signal

LIMIT = 8192
"""The maximum number of records in the export queue. Further records are dropped and counted."""
_REQUEST = 512
_STEP = 32 if _compiled.python_reason else _REQUEST
"""Records to encode at once, in about 0.1 ms. Between batches, the program's threads can acquire the GIL."""


def _suppressed() -> Context:
    suppressed = Context()
    suppressed.run(context.attach, context.Context(dict.fromkeys(_internals.SUPPRESSION_KEYS, True)))
    return suppressed


class Outlet:
    """A bounded export queue. Only one thread at a time may send.

    Attributes:
        signal: the signal that is exported.
        closed: whether exporting has stopped.
    """

    def __init__(self, signal: Signal, exporter: Any, outcomes: RecordOutcomes) -> None:
        """Create the queue.

        Args:
            signal: the signal to export.
            exporter: a span or log record exporter of the SDK, or None to export nothing.
            outcomes: counts the records by outcome.
        """
        self.signal = signal
        self._exporter = exporter
        self._outcomes = outcomes
        self._queue: deque[DeferredExecution] = deque()
        self.closed = False
        self._suppressed = _suppressed()
        self._takes_bytes = exporter is not None and _internals.accept_encoded(exporter)

    @property
    def is_filling_up(self) -> bool:
        """Whether more than a quarter of the queue is used."""
        return len(self._queue) > LIMIT // 4

    def add(self, executions: Sequence[DeferredExecution]) -> None:
        """Queue ended executions. Executions beyond the limit are dropped."""
        if self._exporter is None:
            return
        if self.closed:
            self._outcomes.add(self.signal, "not_delivered", len(executions))
            return
        room = max(0, LIMIT - len(self._queue))
        self._queue.extend(executions[:room])
        self._outcomes.add(self.signal, "queue_full", len(executions) - room if len(executions) > room else 0)

    def send(self) -> None:
        """Export the records in the queue."""
        queue = self._queue
        for _ in range(len(queue) // _REQUEST + 1):
            batch = [queue.popleft() for _ in range(min(_REQUEST, len(queue)))]
            if batch:
                self._send(batch)

    def close(self) -> None:
        """Stop exporting. Queued and new records are dropped and counted."""
        self.closed = True

    def after_fork_in_child(self) -> None:
        """Clear the queue, because the parent process exports it. Use new connections."""
        self._queue.clear()
        if self._takes_bytes:
            _internals.abandon_connections(self._exporter)

    def _send(self, batch: list[DeferredExecution]) -> None:
        delivered = False
        omitted: list[DeferredExecution] = []
        try:
            if self.closed:
                return
            request = self._request(batch, omitted)
            if request:
                # Run in a context that suppresses instrumentation of the exporter's requests. The context is created
                # in advance: if a signal handler raised after an `attach` here, the thread would stay suppressed.
                result = self._suppressed.copy().run(self._exporter.export, request)
                delivered = getattr(result, "name", "SUCCESS") == "SUCCESS"
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report(f"send.{self.signal}", error)
        finally:
            self._outcomes.add(self.signal, "not_encoded", len(omitted))
            rest = len(batch) - len(omitted)
            self._outcomes.add(self.signal, "sent" if delivered else "not_delivered", rest)

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
