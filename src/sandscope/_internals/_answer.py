"""What sends encoded requests to an endpoint, and what the endpoint answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from sandscope._relay_packets import Signal


class Answer(NamedTuple):
    """What an endpoint has answered to a request.

    Attributes:
        status: the HTTP status; None if there was no answer. With gRPC, the HTTP status that means the same.
        reason: in words.
        retry_after: the seconds for which the endpoint wants no further request.
        is_final: whether the same request would get the same answer again.
        error: the exception that an exporter sees, if any.
    """

    status: int | None
    reason: str
    retry_after: float = 0.0
    is_final: bool = False
    error: Exception | None = None

    @property
    def is_success(self) -> bool:
        """Whether the request has been acknowledged."""
        return self.status is not None and 200 <= self.status < 300


Export = Callable[[bytes], tuple[bool, Answer]]
"""Gets a request, and returns whether it is delivered or kept, and the answer."""


class OtlpClient(Protocol):
    """The part of an OTLP exporter that sends requests, which are encoded.

    Attributes:
        endpoint: the URL.
        signal: of the requests.
    """

    endpoint: str
    signal: Signal

    def post(self, request: bytes) -> Answer:
        """Send a request once, without the exporter's retries. Never raises."""

    def replace_export(self, export: Export) -> None:
        """Let another function send the exporter's requests."""

    def export_as_before(self, request: bytes, answer: Answer) -> tuple[bool, Answer]:
        """Send a request with the exporter's retries, after an answer that is not final."""

    def log_failure(self, answer: Answer, more: str = "") -> None:
        """Log what the exporter logs if it fails."""
