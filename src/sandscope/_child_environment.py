"""The environment for a child process that continues the trace."""

from __future__ import annotations

import os
from collections.abc import Mapping

from opentelemetry import context
from opentelemetry.context import Context

from sandscope import _guard

_TRACESTATE = "TRACESTATE"


def child_environment(base: Mapping[str, str] | None = None, parent: Context | None = None) -> dict[str, str]:
    """Return an environment for a child process, with the trace context that the child continues.

    Args:
        base: the variables beside, never changed; `os.environ` by default. A trace context in it stays, unless
            it is the one that this process was started with.
        parent: the context to continue; the current one by default.

    Returns:
        A new mapping.
    """
    environment = dict(os.environ if base is None else base)
    try:
        # Imported here: a program that starts no children needs no propagators.
        from sandscope._propagation import inject_environment

        carrier: dict[str, str] = {}
        inject_environment(carrier, context.get_current() if parent is None else parent)
        set_by_user = base is not None and any(
            name in environment and environment[name] != os.environ.get(name) for name in carrier
        )
        if carrier and not set_by_user:
            environment.pop(_TRACESTATE, None)
            environment.update(carrier)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("environment", error)
    return environment
