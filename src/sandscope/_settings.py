"""Every ``SANDSCOPE_*`` variable that the SDK reads; what OpenTelemetry names stays with ``OTEL_*``."""

from __future__ import annotations

import os

from sandscope._errors import SandscopeError

BAGGAGE = "SANDSCOPE_BAGGAGE"
"""``true``: baggage goes into children and guests as well. Default ``false``."""

EXIT_TIMEOUT = "SANDSCOPE_EXIT_TIMEOUT"
"""Seconds that sending the rest may take when the program ends. Default 4."""

RECORDER = "SANDSCOPE_RECORDER"
"""``direct``: record through the SDK on the calling thread, always. Default ``auto``."""

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def baggage() -> bool:
    """Return whether baggage goes into children and guests."""
    return _boolean(BAGGAGE)


def exit_timeout() -> float:
    """Return how many seconds sending may take after the program's own end."""
    value = os.environ.get(EXIT_TIMEOUT, "").strip()
    try:
        seconds = float(value or 4)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise _wrong(EXIT_TIMEOUT, value, "a number of seconds")
    return seconds


def always_direct() -> bool:
    """Return whether executions are to be recorded on the calling thread."""
    value = os.environ.get(RECORDER, "").strip().lower()
    if value not in {"", "auto", "direct"}:
        raise _wrong(RECORDER, value, "auto or direct")
    return value == "direct"


def check() -> None:
    """Raise for the first variable that cannot be read, while starting."""
    always_direct()
    baggage()
    exit_timeout()


def _boolean(name: str) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise _wrong(name, value, "true or false")


def _wrong(name: str, value: str, wanted: str) -> SandscopeError:
    return SandscopeError(
        f"Cannot read {name}={value!r}: it is not {wanted}. Set it to {wanted} or unset it."
    )
