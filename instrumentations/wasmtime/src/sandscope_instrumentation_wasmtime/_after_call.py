"""Wrap methods of wasmtime, off the hot path, so that a callback runs after their success or failure."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import report_error


def after_success(component: str, callback: Callable[..., None]) -> Callable[[Any], Any]:
    """Return a wrapper for a method that calls ``callback(result, self, *args, **kwargs)`` after it returned.

    Args:
        component: under which errors of the callback are counted; they are not raised.
        callback: gets the method's result and arguments.
    """

    def wrap(original: Any) -> Any:
        if isinstance(original, property):
            return original.setter(wrap(original.fset))

        plain = original.__func__ if isinstance(original, classmethod) else original

        @wraps(plain)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = plain(self, *args, **kwargs)
            try:
                callback(result, self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error(component, error)
            return result

        return classmethod(method) if isinstance(original, classmethod) else method

    return wrap


def after_failure(component: str, callback: Callable[..., None]) -> Callable[[Any], Any]:
    """Return a wrapper for a method that calls ``callback(error, self, *args, **kwargs)`` after it raised.

    The exception is raised again, unchanged.

    Args:
        component: under which errors of the callback are counted; they are not raised.
        callback: gets the exception and the method's arguments.
    """

    def wrap(original: Any) -> Any:
        @wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            except Exception as error:
                try:
                    callback(error, *args, **kwargs)
                except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
                    report_error(component, broken)
                raise

        return method

    return wrap
