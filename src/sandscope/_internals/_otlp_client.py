"""The HTTP client of the SDK's OTLP exporters, which sends requests that are encoded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from sandscope._internals._rejections import is_rejection

_USED = ("export", "_submit", "_compress", "_endpoint", "_kind", "_timeout", "_logger", "_transport")

_thread = threading.local()


class Answer(NamedTuple):
    """What an endpoint has answered to a request.

    Attributes:
        status: the HTTP status; None if there was no answer.
        reason: in words.
        retry_after: the seconds for which the endpoint wants no further request.
        is_final: whether the same request would get the same answer again.
    """

    status: int | None
    reason: str
    retry_after: float = 0.0
    is_final: bool = False

    @property
    def is_success(self) -> bool:
        """Whether the request has been acknowledged."""
        return self.status is not None and 200 <= self.status < 300


class Keeper(Protocol):
    """Keeps requests of an exporter that cannot be delivered."""

    def keep_in_flight(self) -> bool:
        """Keep the requests to which there is no answer yet. Return whether there were any, and all are kept."""


_keepers: WeakKeyDictionary[Any, Keeper] = WeakKeyDictionary()


def otlp_client(exporter: Any) -> Any:
    """Return the client of an exporter; None if it does not use HTTP, or is of an unknown version."""
    client = getattr(exporter, "_client", None)
    return client if all(hasattr(client, name) for name in _USED) else None


def post(client: Any, data: bytes) -> Answer:
    """Send a request once, without the client's retries. Never raises."""
    try:
        result = client._submit(client._compress(data), client._timeout)
        status = result.status_code
        if status is None:
            is_final = not client._transport.is_connection_error(result.error)
            return Answer(None, str(result.error), 0.0, is_final)
        is_final = 200 <= status < 300 or is_rejection(status)
        return Answer(status, str(result.reason), _retry_after(result), is_final)
    except Exception as error:  # noqa: BLE001 -- as the client does
        return Answer(None, str(error), 0.0, is_final=True)


def replace_export(exporter: Any, export: Callable[[bytes], tuple[bool, Answer]], keeper: Keeper) -> None:
    """Send an exporter's requests by another function.

    Args:
        exporter: one with an `otlp_client`.
        export: gets a request, and returns whether it is delivered or kept, and the answer.
        keeper: what `keeper_of` returns.
    """
    from opentelemetry.exporter.otlp.common.http import _ExportResult

    def export_result(data: bytes) -> Any:
        is_success, answer = export(data)
        return _ExportResult(is_success, answer.status, answer.reason, None)

    exporter._client.export = export_result
    _keepers[exporter] = keeper


def keeper_of(exporter: Any) -> Keeper | None:
    """Return what keeps an exporter's requests, if something does."""
    try:
        return _keepers.get(exporter)
    except TypeError:  # no weak references
        return None


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


def _retry_after(result: Any) -> float:
    try:
        return max(0.0, float(result.headers().get("retry-after") or 0))
    except Exception:  # noqa: BLE001 -- a date, or nothing
        return 0.0
