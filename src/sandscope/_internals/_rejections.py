"""Whether an endpoint rejected a request. The SDK's exporters only report success or failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_RETRYABLE = frozenset((429, 502, 503, 504))
"""The statuses of failures for which OTLP/HTTP allows retries."""


def watch_rejections(exporter: Any) -> Callable[[], bool] | None:
    """Remember the status of the exporter's last response on each thread.

    Args:
        exporter: an OTLP exporter of the SDK.

    Returns:
        A function that returns whether the last request of the calling thread was rejected, so that it must not be
        sent again; None if the exporter does not use HTTP, or is of an unknown version.
    """
    last = threading.local()

    def remember(send: Callable[..., Any]) -> Callable[..., Any]:
        def send_and_remember(*args: Any, **kwargs: Any) -> Any:
            last.status = None
            response = send(*args, **kwargs)
            last.status = getattr(response, "status_code", None)
            return response

        return send_and_remember

    client: Any = getattr(exporter, "_client", None)
    if hasattr(client, "export"):
        client.export = remember(client.export)
    elif hasattr(exporter, "_session") and hasattr(exporter, "_export"):  # before 1.45
        exporter._export = remember(exporter._export)
    else:
        return None
    return lambda: is_rejection(getattr(last, "status", None))


def is_rejection(status: int | None) -> bool:
    """Return whether an HTTP status means that the same request would be rejected again.

    The SDK's exporters consider a redirection a success, but a request is not acknowledged by it.
    """
    return status is not None and not 200 <= status < 300 and status not in _RETRYABLE
