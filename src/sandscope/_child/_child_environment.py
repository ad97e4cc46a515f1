"""The environment of a child process that continues the trace."""

from __future__ import annotations

import os
from collections.abc import Mapping

from opentelemetry import context
from opentelemetry.context import Context

from sandscope import _guard
from sandscope._child._children import python_path_of_child
from sandscope._own_process._inherited import set_by_program

_TRACESTATE = "TRACESTATE"


def child_environment(base: Mapping[str, str] | None = None, parent: Context | None = None) -> dict[str, str]:
    """Return the environment for a child process, including the trace context.

    Args:
        base: the other environment variables; `os.environ` by default. The mapping is not modified. A trace context
            in it is kept if the program has set it, and replaced if this process inherited it.
        parent: the context that the child continues; the current context by default.

    Returns:
        A new dictionary.
    """
    environment = dict(os.environ if base is None else base)
    try:
        # Imported here: programs that start no child process do not need the propagators.
        from sandscope._child._propagation import inject_environment

        carrier: dict[str, str] = {}
        inject_environment(carrier, context.get_current() if parent is None else parent)
        kept = any(name in environment and set_by_program(name, environment[name]) for name in carrier)
        if carrier and not kept:
            environment.pop(_TRACESTATE, None)
            environment.update(carrier)
        path = environment.get("PYTHONPATH")
        if path:
            environment["PYTHONPATH"] = python_path_of_child(path)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("environment", error)
    return environment
