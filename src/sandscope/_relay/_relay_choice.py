"""Whether this process relays what its children send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandscope import _guard, _settings
from sandscope._locks import new_lock
from sandscope._say import say

if TYPE_CHECKING:
    from sandscope._relay._relay import Relay

_relay: Relay | None = None
_is_impossible = False
_lock = new_lock()


def relay() -> Relay | None:
    """Return what reads the pipes of children; None if ``SANDSCOPE_RELAY`` is off, or nothing could be sent on."""
    global _relay, _is_impossible  # noqa: PLW0603 -- one process
    if not _settings.relay() or _is_impossible:
        return None
    with _lock:
        if _relay is None and not _is_impossible:
            try:
                _relay = _new()
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("relay", error)
            _is_impossible = _relay is None
        return _relay


def flush(timeout: float) -> None:
    """Send what children have written until now, if this process relays: it may end.

    Args:
        timeout: the most seconds that this takes.
    """
    if _relay is not None:
        _relay.flush(timeout)


def _new() -> Relay | None:
    # Imported here: most programs relay nothing.
    from sandscope._relay import _relayed_records
    from sandscope._relay._outbox import Outbox
    from sandscope._relay._relay import Relay

    outbox = Outbox()
    if not outbox.can_send:
        say(
            f"sandscope: Cannot relay what children send: this program has no OTLP exporter of spans. "
            f"Set OTEL_TRACES_EXPORTER to otlp, or {_settings.RELAY} to off."
        )
        return None
    _relayed_records.show()
    return Relay(outbox)
