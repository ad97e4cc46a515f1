"""The only file that touches OpenTelemetry's internals; each function says whether it worked.

Every caller has a way that uses the public API alone, for the day an internal is gone.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import ModuleType

import opentelemetry._logs._internal as _logs
import opentelemetry.metrics._internal as _metrics
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

SPAN_KEY = getattr(trace.propagation, "_SPAN_KEY", "current-span")
"""Under which a context holds its span."""

_SLOTS: dict[str, tuple[ModuleType, str]] = {
    "traces": (trace, "_TRACER_PROVIDER"),
    "metrics": (_metrics, "_METER_PROVIDER"),
    "logs": (_logs, "_LOGGER_PROVIDER"),
}


def set_default_context(default: Context) -> bool:
    """Make ``default`` the current context of every thread that has attached none.

    Returns:
        False if OpenTelemetry's runtime context is not the one this knows.
    """
    runtime = getattr(context, "_RUNTIME_CONTEXT", None)
    if type(runtime) is not ContextVarsRuntimeContext or not hasattr(runtime, "_current_context"):
        return False
    runtime._current_context = ContextVar("current_context", default=default)
    return True


def open_provider_slot(signal: str) -> bool:
    """Let the global provider of a signal be set once more.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.

    Returns:
        False if the slot is not where this knows it.
    """
    module, name = _SLOTS[signal]
    once = getattr(module, f"{name}_SET_ONCE", None)
    if once is None or not hasattr(once, "_done"):
        return False
    once._done = False
    return True
