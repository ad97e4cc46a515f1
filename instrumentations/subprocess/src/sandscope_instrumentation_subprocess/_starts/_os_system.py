"""The wrapper around ``os.system``, which waits for its child in C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import MISSING_EVIDENCE, Recorder
from sandscope_instrumentation_subprocess._evidence import decode_status
from sandscope_instrumentation_subprocess._registry import Registry
from sandscope_instrumentation_subprocess._sites import SHELL_SITE, message_of


def system(recorder: Recorder, registry: Registry) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make an ``os.system`` that records its shell.

    The shell does not get the trace context: it inherits the environment of this process, which all threads share.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def system(command: Any) -> Any:
            execution = recorder.begin(SHELL_SITE)
            if execution is None:
                return original(command)
            try:
                status = original(command)
            except BaseException as error:
                execution.fail(error, message=message_of(error))
                raise
            exit_status = decode_status(status) if status >= 0 else None
            if exit_status is None:  # it could not be started, or other code has reaped it
                execution.finish(MISSING_EVIDENCE)
            else:
                registry.end_unregistered(execution, exit_status)
            return status

        return system

    return make
