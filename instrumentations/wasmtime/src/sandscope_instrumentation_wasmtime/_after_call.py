"""What follows a method of wasmtime's that is off the hot path: its success or its failure."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import report_error


def following(place: str, note: Callable[..., None]) -> Callable[[Any], Any]:
    """Return what wraps a method so that ``note(result, self, *args, **kwargs)`` follows its success.

    Args:
        place: where an error of ``note`` is counted; it goes no further.
        note: what follows.
    """

    def wrap(original: Any) -> Any:
        if isinstance(original, property):
            return original.setter(wrap(original.fset))

        plain = original.__func__ if isinstance(original, classmethod) else original

        @wraps(plain)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = plain(self, *args, **kwargs)
            try:
                note(result, self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error(place, error)
            return result

        return classmethod(method) if isinstance(original, classmethod) else method

    return wrap


def failing(place: str, note: Callable[..., None]) -> Callable[[Any], Any]:
    """Return what wraps a method so that ``note(error, self, *args, **kwargs)`` follows its failure.

    Args:
        place: where an error of ``note`` is counted; it goes no further.
        note: what follows before the program gets the exception.
    """

    def wrap(original: Any) -> Any:
        @wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            except Exception as error:
                try:
                    note(error, *args, **kwargs)
                except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
                    report_error(place, broken)
                raise

        return classmethod(method) if isinstance(original, classmethod) else method

    return wrap
