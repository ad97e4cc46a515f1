"""Refuses subinterpreters: Python aborts if a subinterpreter ends while threads of the SDK run in it."""

from __future__ import annotations

_MODULES = ("_interpreters", "_xxsubinterpreters")
"""The standard library's module since Python 3.13, and the module of earlier versions."""


def refuse_subinterpreter() -> None:
    """Raise an error in a subinterpreter.

    Raises:
        SandscopeError: if this is not the main interpreter.
    """
    for name in _MODULES:
        try:
            interpreters = __import__(name)  # nothing else imports `importlib` at the start
            is_main = interpreters.get_current() == interpreters.get_main()
        except (ImportError, AttributeError):
            continue
        if not is_main:
            from sandscope._errors import SandscopeError

            raise SandscopeError(
                "Cannot instrument a subinterpreter: OpenTelemetry's threads would abort the program when it "
                "ends. Instrument the main interpreter, or run the code in a separate process."
            )
        return
