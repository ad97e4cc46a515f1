"""The clients of the SDK's OTLP exporters, and what keeps their requests if they cannot be delivered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from sandscope._internals._answer import OtlpClient
from sandscope._internals._otlp_grpc import GrpcClient, uses_grpc
from sandscope._internals._otlp_http import HttpClient, uses_http

_KEEPER = "_sandscope_keeper"
_thread = threading.local()


class Keeper(Protocol):
    """Keeps requests of an exporter that cannot be delivered."""

    def keep_in_flight(self) -> bool:
        """Keep the requests to which there is no answer yet. Return whether there were any, and all are kept."""


def otlp_client(exporter: Any) -> OtlpClient | None:
    """Return the client of an exporter; None if it does not use OTLP, or is of an unknown version."""
    return (
        HttpClient(exporter) if uses_http(exporter) else GrpcClient(exporter) if uses_grpc(exporter) else None
    )


def set_keeper(exporter: Any, keeper: Keeper) -> None:
    """Set the result of `keeper_of`."""
    setattr(exporter, _KEEPER, keeper)


def keeper_of(exporter: Any) -> Keeper | None:
    """Return what keeps an exporter's requests, if something does."""
    return getattr(exporter, _KEEPER, None)


def was_kept() -> bool:
    """Return whether the last request of this thread was kept, and not delivered."""
    return getattr(_thread, "was_kept", False)


def note_kept(*, kept: bool) -> None:
    """Set the result of `was_kept`."""
    _thread.was_kept = kept


def is_keeping() -> bool:
    """Return whether this thread's requests are to be kept, and not sent."""
    return getattr(_thread, "is_keeping", False)


@contextmanager
def keeping() -> Iterator[None]:
    """Keep this thread's requests in the ``with`` block."""
    before, _thread.is_keeping = is_keeping(), True
    try:
        yield
    finally:
        _thread.is_keeping = before
