"""The storage of the current context."""

from __future__ import annotations

from contextvars import ContextVar

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

SPAN_KEY = getattr(trace.propagation, "_SPAN_KEY", "current-span")
"""The context key of the current span."""

SUPPRESSION_KEYS = tuple(
    key
    for key in (getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", None), "suppress_instrumentation")
    if key is not None
)
"""The context keys that suppress instrumentation."""


def is_instrumentation_enabled() -> bool:
    """Return whether the current context does not suppress instrumentation.

    As the function of ``opentelemetry.instrumentation.utils``, which imports wrapt, packaging and asyncio.
    """
    current = context.get_current()
    return not any(current.get(key) for key in SUPPRESSION_KEYS)


def set_default_context(default: Context) -> bool:
    """Set the current context of every thread that has not attached a context.

    Returns:
        False if OpenTelemetry's runtime context is of an unknown type or version.
    """
    runtime = getattr(context, "_RUNTIME_CONTEXT", None)
    if type(runtime) is not ContextVarsRuntimeContext or not hasattr(runtime, "_current_context"):
        return False
    runtime._current_context = ContextVar("current_context", default=default)
    return True


def context_variable() -> ContextVar[Context] | None:
    """Return the context variable that stores the current context, or None if there is no such variable."""
    runtime = getattr(context, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    return (
        variable if type(runtime) is ContextVarsRuntimeContext and isinstance(variable, ContextVar) else None
    )
