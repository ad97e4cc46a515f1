"""Sending the rest when the program ends, in bounded time."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider

from sandscope import _guard, _notice, _settings

_ONE_RETRY = 1.5
"""Seconds in which an exporter that has failed tries once more."""


def shut_down_at_exit(providers: Sequence[Any]) -> None:
    """Shut providers down side by side at interpreter exit, and leave behind what takes too long.

    Args:
        providers: SDK providers; their own exit handlers, which wait up to 30 s each, are taken away.
    """
    for provider in providers:
        atexit.unregister(provider.shutdown)
    atexit.register(_shut_down, providers, _settings.exit_timeout())


def _shut_down(providers: Sequence[Any], timeout: float) -> None:
    # Metrics last: they say what became of the spans and log records.
    first = [provider for provider in providers if not isinstance(provider, MeterProvider)]
    last = [provider for provider in providers if isinstance(provider, MeterProvider)]
    start = time.monotonic()
    _side_by_side(first, start + (timeout / 2 if last else timeout))
    _side_by_side(last, start + timeout)


def _side_by_side(providers: Sequence[Any], deadline: float) -> None:
    _notice.failed.clear()
    threads = [
        threading.Thread(target=_shut_down_one, args=(provider,), daemon=True) for provider in providers
    ]
    for thread, provider in zip(threads, providers, strict=True):
        try:
            thread.start()
        except RuntimeError:  # Python 3.12.0 and 3.12.1 start no thread any more at this point
            _shut_down_one(provider)
    while (alive := [thread for thread in threads if thread.is_alive()]) and time.monotonic() < deadline:
        if _notice.failed.is_set():
            _notice.failed.clear()
            deadline = min(deadline, time.monotonic() + _ONE_RETRY)
        alive[0].join(0.01)


def _shut_down_one(provider: Any) -> None:
    try:
        provider.shutdown()
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("exit", error)
