"""The one wrapper on the hot path: a call of an exported function is an execution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandscope import Recorder
from sandscope_instrumentation_wasmtime._site import TAG, UNNAMED


def recording(recorder: Recorder) -> Callable[[Any], Any]:
    """Return what wraps ``Func.__call__``, of modules and of components.

    Args:
        recorder: gets one execution for each call.
    """
    return lambda original: recorder.wrap_method(original, TAG, UNNAMED)
