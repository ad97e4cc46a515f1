"""The one wrapper on the hot path: a call of an exported function is an execution."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import Recorder
from sandscope_instrumentation_wasmtime._measures._calls import measuring
from sandscope_instrumentation_wasmtime._nesting import nesting
from sandscope_instrumentation_wasmtime._settings import WasmtimeSettings
from sandscope_instrumentation_wasmtime._sites import COUNTED, TAG, UNNAMED

_NO_TAG = "_sandscope_none"
"""An attribute that no function has."""


def recording(recorder: Recorder, settings: WasmtimeSettings) -> Callable[[Any], Any]:
    """Return what wraps ``Func.__call__``, of modules and of components.

    Args:
        recorder: gets one execution for each call.
        settings: say which calls have a span and a log record, and what else is measured; all are counted.
    """

    def wrap(original: Any) -> Any:
        counted = measuring(original, recorder, settings, _NO_TAG, COUNTED)
        if settings.spans == "off":
            return counted
        traced = measuring(original, recorder, settings, TAG, UNNAMED)
        return traced if settings.spans == "all" else _outermost(traced, counted)

    return wrap


def _outermost(traced: Callable[..., Any], counted: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(traced)
    def call(*args: Any, **kwargs: Any) -> Any:
        if nesting.inside:
            return counted(*args, **kwargs)
        nesting.inside = True
        try:
            return traced(*args, **kwargs)
        finally:
            nesting.inside = False

    return call
