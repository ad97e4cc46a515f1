"""The one wrapper on the hot path: a call of an exported function is an execution."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope import Recorder
from sandscope_instrumentation_wasmtime._site import TAG, UNNAMED


def recording(recorder: Recorder) -> Callable[[Any], Any]:
    """Return what wraps ``Func.__call__``, of modules and of components.

    Args:
        recorder: gets one execution for each call.
    """
    begin = recorder.begin

    def wrap(original: Any) -> Any:
        @wraps(original)
        def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 -- the name in tracebacks
            execution = begin(getattr(self, TAG, UNNAMED))
            if execution is None:
                return original(self, *args, **kwargs)
            try:
                result = original(self, *args, **kwargs)
            except BaseException as error:
                execution.fail(error)
                raise
            execution.finish()
            return result

        return __call__

    return wrap
