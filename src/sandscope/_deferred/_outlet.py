"""The way out of one signal: encodes records in small steps, and hands whole requests to an exporter."""

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
from sandscope._deferred._hot_path import Owner
from sandscope._deferred._record_outcomes import RecordOutcomes, Signal

LIMIT = 8192
"""Records that wait for the exporter, at most; what comes beyond is dropped and counted."""
_REQUEST = 512
_STEP = 32 if _compiled.python_reason else _REQUEST
"""Records encoded at a time, in about 0.1 ms: the program's threads get the interpreter in between."""


def _suppressed() -> Context:
    suppressed = Context()
    suppressed.run(context.attach, context.Context(dict.fromkeys(_internals.SUPPRESSION_KEYS, True)))
    return suppressed


class Outlet:
    """Bounded; one thread at a time sends.

    Attributes:
        signal: what it sends.
        closed: it sends nothing any more.
    """

    def __init__(self, signal: Signal, exporter: Any, outcomes: RecordOutcomes) -> None:
        """Prepare to send.

        Args:
            signal: what it sends.
            exporter: a span or log record exporter of the SDK's, or None to send nothing.
            outcomes: where outcomes are counted.
        """
        self.signal = signal
        self._exporter = exporter
        self._outcomes = outcomes
        self._waiting: deque[DeferredExecution] = deque()
        self.closed = False
        self._suppressed = _suppressed()
        self._takes_bytes = exporter is not None and _internals.accept_encoded(exporter)

    @property
    def crowded(self) -> bool:
        """Whether a good part of what may wait does."""
        return len(self._waiting) > LIMIT // 4

    def add(self, executions: Sequence[DeferredExecution]) -> None:
        """Let ended, sampled executions wait to be sent; those beyond the limit are dropped."""
        if self._exporter is None:
            return
        if self.closed:
            self._outcomes.add(self.signal, "not_delivered", len(executions))
            return
        room = max(0, LIMIT - len(self._waiting))
        self._waiting.extend(executions[:room])
        self._outcomes.add(self.signal, "queue_full", len(executions) - room if len(executions) > room else 0)

    def send(self) -> None:
        """Send all that waits now."""
        waiting = self._waiting
        for _ in range(len(waiting) // _REQUEST + 1):
            batch = [waiting.popleft() for _ in range(min(_REQUEST, len(waiting)))]
            if batch:
                self._send(batch)

    def close(self) -> None:
        """Send nothing any more: what waits and what comes is lost, and counted."""
        self.closed = True

    def after_fork_in_child(self) -> None:
        """Drop what waits: after a fork, the parent sends it, by connections of its own."""
        self._waiting.clear()
        if self._takes_bytes:
            _internals.leave_connections(self._exporter)

    def _send(self, batch: list[DeferredExecution]) -> None:
        delivered = False
        left_out: list[DeferredExecution] = []
        try:
            if self.closed:
                return
            request = self._request(batch, left_out)
            if request:
                # In a context of its own, in which the exporter's requests are not recorded. It is made
                # beforehand: to attach here would leave a thread suppressed if a signal handler raises.
                result = self._suppressed.copy().run(self._exporter.export, request)
                delivered = getattr(result, "name", "SUCCESS") == "SUCCESS"
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report(f"send.{self.signal}", error)
        finally:
            self._outcomes.add(self.signal, "not_encoded", len(left_out))
            rest = len(batch) - len(left_out)
            self._outcomes.add(self.signal, "sent" if delivered else "not_delivered", rest)

    def _request(self, batch: list[DeferredExecution], left_out: list[DeferredExecution]) -> Any:
        if not self._takes_bytes:
            return list(self._readable(batch, left_out))
        parts: list[bytes] = []
        by_recorder: dict[Owner, list[DeferredExecution]] = {}
        for execution in batch:
            by_recorder.setdefault(execution.recorder, []).append(execution)
        for recorder, executions in by_recorder.items():
            encode = recorder.encoder.spans if self.signal == "span" else recorder.encoder.logs
            for start in range(0, len(executions), _STEP):
                if start:
                    time.sleep(0)
                parts.append(encode(executions[start : start + _STEP], left_out.append))
        return _internals.Encoded(b"".join(parts), len(batch) - len(left_out))

    def _readable(
        self, batch: Sequence[DeferredExecution], left_out: list[DeferredExecution]
    ) -> Iterator[Any]:
        from sandscope._deferred._readable import readable_log, readable_span

        make = readable_span if self.signal == "span" else readable_log
        for execution in batch:
            recorder = execution.recorder
            try:
                yield make(execution, recorder.resource, recorder.instrumentation_scope)
            except Exception as error:  # noqa: BLE001 -- one execution must not cost the others
                _guard.report("encode", error)
                left_out.append(execution)
