"""What is sent on: requests of many children, joined, to the exporters of this process."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry import _logs, trace
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from sandscope import _guard, _internals
from sandscope._relay import _relayed_records
from sandscope._relay._child_requests import Accepted
from sandscope._relay_packets import Signal

_DELAY = 0.2
"""Seconds for which requests are collected."""
_MOST = 512 << 10
"""Bytes from which on they are sent at once."""


class Outbox:
    """Sends requests with the exporters that the program's own telemetry has.

    Attributes:
        resource: of this process.
    """

    def __init__(self) -> None:
        """Find the exporters."""
        provider = trace.get_tracer_provider()
        self._exporters = {"span": _exporter_of(provider), "log": _exporter_of(_logs.get_logger_provider())}
        self.resource = _encoded(getattr(provider, "resource", None)) if self.can_send else Resource()
        self._waiting: dict[Signal, list[Accepted]] = {}
        self._due = 0.0

    @property
    def can_send(self) -> bool:
        """Whether there is an exporter of spans that takes encoded requests."""
        return self._exporters["span"] is not None

    def add(self, signal: Signal, accepted: Accepted) -> None:
        """Collect a request, and send what there is if it is much."""
        if not self._waiting:
            self._due = time.monotonic() + _DELAY
        waiting = self._waiting.setdefault(signal, [])
        waiting.append(accepted)
        if sum(len(each.request) for each in waiting) >= _MOST:
            self._send(signal, self._waiting.pop(signal))

    def send_if_due(self) -> None:
        """Send what has been collected long enough."""
        if self._waiting and time.monotonic() >= self._due:
            self.send()

    def send(self) -> None:
        """Send everything."""
        while self._waiting:
            self._send(*self._waiting.popitem())

    def _send(self, signal: Signal, waiting: list[Accepted]) -> None:
        exporter, records = self._exporters.get(signal), sum(each.records for each in waiting)
        is_sent = False
        try:
            if exporter is not None:
                # Encoded messages that follow one another are one message, with the parts of all.
                request = _internals.Encoded(b"".join(each.request for each in waiting), records)
                is_sent = getattr(exporter.export(request), "name", "SUCCESS") == "SUCCESS"
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("relay.send", error)
        _relayed_records.add(signal, "relayed" if is_sent else "not_delivered", records)


def _exporter_of(provider: Any) -> Any:
    found = (each for each in _internals.exporters_of(provider) if each is not None)
    return next((each for each in found if _internals.accept_encoded(each)), None)


def _encoded(resource: Any) -> Resource:
    """Return a resource as the SDK encodes it."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    example = ReadableSpan("", SpanContext(1, 1, False), resource=resource, start_time=0, end_time=0)
    (encoded,) = encode_spans([example]).resource_spans
    result: Resource = encoded.resource
    return result
