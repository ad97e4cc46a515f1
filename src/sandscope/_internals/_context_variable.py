"""Where the current context is kept."""

from __future__ import annotations

from contextvars import ContextVar

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

SPAN_KEY = getattr(trace.propagation, "_SPAN_KEY", "current-span")
"""Under which a context holds its span."""

SUPPRESSION_KEYS = tuple(
    key
    for key in (getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", None), "suppress_instrumentation")
    if key is not None
)
"""Under which a context says that nothing is to be recorded."""


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


def context_variable() -> ContextVar[Context] | None:
    """Return the variable that holds the current context; None if the runtime context has no such thing."""
    runtime = getattr(context, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    return (
        variable if type(runtime) is ContextVarsRuntimeContext and isinstance(variable, ContextVar) else None
    )
