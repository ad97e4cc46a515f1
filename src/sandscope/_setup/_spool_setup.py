"""Keeps what cannot be sent in the spool, for the OTLP exporters of the providers that this process has set up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sandscope import _guard, _internals, _settings

if TYPE_CHECKING:
    from sandscope._spool._sender import Sender

_AT_END = 1.0
"""The most seconds for which the end of a program sends what has been kept before."""

_senders: list[Sender] = []


def keep_what_cannot_be_sent(providers: Sequence[Any]) -> None:
    """Keep the requests of the exporters of providers that use OTLP, and send what was kept before.

    Args:
        providers: of the SDK.
    """
    base = _settings.spool_folder()
    if base is None or os.name != "posix":
        return
    try:
        from sandscope._spool._place import Spool
        from sandscope._spool._sender import Sender

        for provider in providers:
            service = str(_resource_of(provider).get("service.name", ""))
            spool = Spool(base, _settings.spool_size(), service, _settings.spool_is_expected())
            for exporter in _internals.exporters_of(provider):
                client = _internals.otlp_client(exporter)
                if client is not None:
                    _senders.append(Sender(exporter, client, spool))
        if _senders and base.is_dir():
            threading.Thread(target=send_waiting, name="sandscope-spool-start", daemon=True).start()
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("spool", error)


def send_waiting() -> None:
    """Send what has been kept before. Errors are reported."""
    try:
        for sender in _senders:
            sender.send_waiting()
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("spool", error)


def begin_end() -> None:
    """Note that the process ends: what is kept from now on is for the next one."""
    for sender in _senders:
        sender.is_ending = True


def keep_in_flight() -> None:
    """Keep the requests to which there is no answer yet, because the process ends."""
    for sender in _senders:
        sender.keep_in_flight()


def finish(end: float) -> None:
    """Keep what is under way, send what waits if there is time, and stop.

    Args:
        end: when the process ends, by `time.monotonic`.
    """
    try:
        keep_in_flight()
        end = min(end, time.monotonic() + _AT_END)
        for sender in _senders:
            sender.finish(lambda: time.monotonic() < end)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("spool", error)


def _resource_of(provider: Any) -> Any:
    holders = provider, getattr(provider, "_sdk_config", None)
    for holder in holders:
        resource = getattr(holder, "resource", None) or getattr(holder, "_resource", None)
        if resource is not None:
            return resource.attributes
    return {}
