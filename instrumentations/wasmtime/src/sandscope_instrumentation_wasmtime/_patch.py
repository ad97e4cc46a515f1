"""The one wrapper on the hot path: a call of an exported function is an execution."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from sandscope import Recorder
from sandscope_instrumentation_wasmtime._site import TAG, UNNAMED


def recording(recorder: Recorder) -> Callable[[Any], Any]:
    """Return what wraps ``Func.__call__``, of modules and of components.

    Args:
        recorder: gets one execution for each call.
    """

    def wrap(original: Any) -> Any:
        @wraps(original)
        def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 -- the name in tracebacks
            if not is_instrumentation_enabled():
                return original(self, *args, **kwargs)
            execution = recorder.begin(getattr(self, TAG, UNNAMED))
            try:
                result = original(self, *args, **kwargs)
            except BaseException as error:
                recorder.fail(execution, error)
                # The error's traceback keeps this frame, which must not keep the error: a cycle would
                # let the guest's store live until the next garbage collection.
                del execution
                raise
            recorder.end(execution)
            return result

        return __call__

    return wrap
