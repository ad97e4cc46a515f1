"""Subinterpreters are refused: Python aborts when one ends while threads of the SDK run in it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sandscope._errors import SandscopeError

_MODULES = ("_interpreters", "_xxsubinterpreters")
"""Python's own, since 3.13 and before."""


def refuse_subinterpreter() -> None:
    """Do nothing in the main interpreter.

    Raises:
        SandscopeError: in any other.
    """
    for name in _MODULES:
        try:
            interpreters: Any = import_module(name)
            main = interpreters.get_current() == interpreters.get_main()
        except (ImportError, AttributeError):
            continue
        if not main:
            raise SandscopeError(
                "Cannot instrument a subinterpreter: OpenTelemetry's threads would abort the program when it "
                "ends. Instrument the main interpreter, or run the code in a process of its own."
            )
        return
