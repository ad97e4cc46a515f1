"""Trace context propagation through environment variables: into child processes, and from the parent process."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, Protocol

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators._envcarrier import EnvironmentGetter, EnvironmentSetter
from opentelemetry.trace import DEFAULT_TRACE_STATE, SpanContext

from sandscope import _internals, _settings

_BAGGAGE = "BAGGAGE"
_getter = EnvironmentGetter()


class _Execution(Protocol):
    parent_context: Context

    @property
    def context(self) -> Context: ...


class _Setter(EnvironmentSetter):
    """Caches the variable names: upstream evaluates a regular expression for each name and child."""

    def set(self, carrier: MutableMapping[str, str], key: str, value: str) -> None:
        """Set the environment variable of a propagation field."""
        carrier[_variable(key)] = value


@lru_cache(maxsize=64)
def _variable(field: str) -> str:
    carrier: dict[str, str] = {}
    EnvironmentSetter().set(carrier, field, "")
    return next(iter(carrier))


_setter = _Setter()


def inject_environment(environment: MutableMapping[str, str], parent: Context) -> None:
    """Inject a trace context into environment variables (``TRACEPARENT``, ``TRACESTATE``).

    Args:
        environment: modified in place; pass a copy of a mapping that belongs to the user.
        parent: the context that the child continues. Its baggage is injected only if ``SANDSCOPE_BAGGAGE`` is
            set, because the host decides which data a sandbox can read.
    """
    propagator = propagate.get_global_textmap()
    span: Any = parent.get(_internals.SPAN_KEY)
    identity: SpanContext = trace.INVALID_SPAN_CONTEXT if span is None else span.get_span_context()
    if (
        identity.is_valid
        and _internals.injects_w3c(propagator)
        and not (len(parent) > 1 and baggage.get_all(parent))
    ):
        _inject_trace_context(environment, identity)
        return
    carrier: dict[str, str] = {}
    propagator.inject(carrier, parent, setter=_setter)
    if _BAGGAGE in carrier and not _settings.baggage():
        del carrier[_BAGGAGE]
    environment.update(carrier)


def inject_execution(environment: MutableMapping[str, str], execution: _Execution) -> None:
    """Do the same as `inject_environment` with the context of an execution, which is made only if it is needed.

    Args:
        environment: modified in place.
        execution: that the child continues.
    """
    get_identity = getattr(execution, "get_span_context", None)  # of those that are their own span
    parent = execution.parent_context
    if get_identity is not None and len(parent) <= (_internals.SPAN_KEY in parent):
        identity: SpanContext = get_identity()
        if identity[5] and _internals.injects_w3c(propagate.get_global_textmap()):
            _inject_trace_context(environment, identity)
            return
    inject_environment(environment, execution.context)


def _inject_trace_context(environment: MutableMapping[str, str], identity: SpanContext) -> None:
    """Do the same as the W3C propagator in a third of the time, which delays the start of every child."""
    trace_id, span_id, _, flags, state, _ = identity
    environment["TRACEPARENT"] = f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"
    if state is not DEFAULT_TRACE_STATE and state:
        environment["TRACESTATE"] = state.to_header()


def environment_names() -> frozenset[str]:
    """Return the names of the variables that `inject_environment` may set with the configured propagators."""
    carrier: dict[str, str] = {}
    for field in propagate.get_global_textmap().fields:
        _setter.set(carrier, field, "")
    if not _settings.baggage():
        carrier.pop(_BAGGAGE, None)
    return frozenset(carrier)


def environment_context() -> Context | None:
    """Return the trace context from this process's environment, or None if there is none."""
    parent = propagate.extract(os.environ, Context(), getter=_getter)
    return parent if trace.get_current_span(parent).get_span_context().is_valid else None


def continue_parent_trace() -> None:
    """Continue the parent process's trace in all threads of this process.

    Auto-instrumentation calls this before the program starts.
    """
    parent = environment_context()
    if parent is not None and not _internals.set_default_context(parent):
        context.attach(parent)
