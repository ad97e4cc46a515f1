"""The storage of the global providers."""

from __future__ import annotations

from types import ModuleType

import opentelemetry._logs._internal as _logs
import opentelemetry.metrics._internal as _metrics
from opentelemetry import trace

_SLOTS: dict[str, tuple[ModuleType, str]] = {
    "traces": (trace, "_TRACER_PROVIDER"),
    "metrics": (_metrics, "_METER_PROVIDER"),
    "logs": (_logs, "_LOGGER_PROVIDER"),
}


def open_provider_slot(signal: str) -> bool:
    """Allow the global provider of a signal to be set again.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.

    Returns:
        False if the API's version is unknown.
    """
    module, name = _SLOTS[signal]
    once = getattr(module, f"{name}_SET_ONCE", None)
    if once is None or not hasattr(once, "_done"):
        return False
    once._done = False
    return True
