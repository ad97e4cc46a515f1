"""The storage of the global providers."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import opentelemetry._logs._internal as _logs
import opentelemetry.metrics._internal as _metrics
from opentelemetry import trace
from opentelemetry.util._once import Once

_SLOTS: dict[str, tuple[ModuleType, str]] = {
    "traces": (trace, "_TRACER_PROVIDER_SET_ONCE"),
    "metrics": (_metrics, "_METER_PROVIDER_SET_ONCE"),
    "logs": (_logs, "_LOGGER_PROVIDER_SET_ONCE"),
}


def global_providers() -> list[Any]:
    """Return the global providers that have been set, metrics last; empty if the API's version is unknown."""
    slots = ((trace, "_TRACER_PROVIDER"), (_logs, "_LOGGER_PROVIDER"), (_metrics, "_METER_PROVIDER"))
    providers = (getattr(module, name, None) for module, name in slots)
    return [provider for provider in providers if provider is not None]


class _ReplacedOnce(Once):
    """Runs the next function that sets the provider, and then notifies of it."""

    def __init__(self, replaced: Callable[[], None]) -> None:
        super().__init__()
        self._replaced = replaced

    def do_once(self, func: Callable[[], None]) -> bool:
        """See `Once.do_once`."""
        done = super().do_once(func)
        if done:
            self._replaced()
        return done


def let_provider_be_replaced(signal: str, replaced: Callable[[], None]) -> bool:
    """Allow the global provider of a signal to be set once more.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        replaced: called after the program has set its provider. Must not raise.

    Returns:
        False if the API's version is unknown.
    """
    module, name = _SLOTS[signal]
    if not isinstance(getattr(module, name, None), Once):
        return False
    setattr(module, name, _ReplacedOnce(replaced))
    return True
