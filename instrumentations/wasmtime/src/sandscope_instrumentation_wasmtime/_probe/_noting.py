"""Notes what a program asks a method of wasmtime for, whether or not the method does it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import report_error

PLACE = "wasmtime.probe"
"""Where the probe's own errors are counted."""


def before(note: Callable[..., None]) -> Callable[[Any], Any]:
    """Return what wraps a method so that ``note(self, *args, **kwargs)`` precedes it."""

    def wrap(original: Any) -> Any:
        @wraps(original)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            _note(note, self, *args, **kwargs)
            return original(self, *args, **kwargs)

        return method

    return wrap


def _note(note: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    try:
        note(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error(PLACE, error)
