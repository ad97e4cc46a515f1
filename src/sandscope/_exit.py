"""Sending the rest when the program ends, in bounded time."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from sandscope import _guard, _settings

_logger = logging.getLogger("sandscope")


def shut_down_at_exit(providers: Sequence[Any]) -> None:
    """Shut providers down side by side at interpreter exit, and leave behind what takes too long.

    Args:
        providers: SDK providers; their own exit handlers, which wait up to 30 s each, are taken away.
    """
    for provider in providers:
        atexit.unregister(provider.shutdown)
    atexit.register(_shut_down, providers, _settings.exit_timeout())


def _shut_down(providers: Sequence[Any], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    threads = [
        threading.Thread(target=_shut_down_one, args=(provider,), daemon=True) for provider in providers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _shut_down_one(provider: Any) -> None:
    try:
        provider.shutdown()
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("exit", error)
