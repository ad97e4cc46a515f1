"""The wrapper around ``os.posix_spawn`` and ``os.posix_spawnp``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any

from sandscope.instrumentation import Execution, Recorder, report_error
from sandscope_instrumentation_subprocess._measures._cold_start import ColdStarts
from sandscope_instrumentation_subprocess._registry import Registry
from sandscope_instrumentation_subprocess._sites import message_of, site_of
from sandscope_instrumentation_subprocess._starts._popen_environment import ChildEnvironment
from sandscope_instrumentation_subprocess._starts._relay_pipes import ChildEnd, open_pipe

_INHERITS = sys.version_info >= (3, 13)
"""Whether ``env`` may be None."""
_MOST_FRAMES = 8
"""Between this wrapper and a function of ``Popen``: other libraries may wrap ``os.posix_spawn`` too."""


def posix_spawn(
    recorder: Recorder,
    registry: Registry,
    environment: ChildEnvironment,
    cold_starts: ColdStarts,
    recorded: CodeType | None,
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make an ``os.posix_spawn`` that begins an execution and passes its context to the child.

    Args:
        recorder: begins executions.
        registry: of the children.
        environment: adds the context.
        cold_starts: records how long children take to start.
        recorded: the code of a function that calls this one for a child that is already recorded.
    """

    def make(original: Callable[..., int]) -> Callable[..., int]:
        def posix_spawn(path: Any, argv: Any, env: Any, **options: Any) -> int:
            if _is_called_by(recorded):
                return original(path, argv, env, **options)
            execution = recorder.begin(site_of(argv, path, shell=False))
            if execution is None:
                return original(path, argv, env, **options)
            added = cold_starts.ask(execution)
            pipe = open_pipe(execution) if sys.platform == "linux" else None
            if pipe is not None:
                added, options = {**added, **pipe.variables}, _with_pipe(options, pipe)
            spawned = time.perf_counter_ns()
            try:
                pid = original(path, argv, _with_context(env, environment, execution, added), **options)
            except BaseException as error:
                execution.fail(error, message=message_of(error))
                raise
            finally:
                if pipe is not None:
                    pipe.close()
            cold_starts.on_exec(execution.site, spawned)
            registry.add(pid, execution)
            return pid

        return posix_spawn

    return make


def _with_pipe(options: dict[str, Any], pipe: ChildEnd) -> dict[str, Any]:
    """Let the child inherit its end: to duplicate a descriptor to itself is how ``posix_spawn`` is asked for that."""
    try:
        actions = [*(options.get("file_actions") or ())]
    except TypeError:
        return options  # they are not valid, and the original function raises the error
    # First: one of the program's actions may close it.
    inherit = (os.POSIX_SPAWN_DUP2, pipe.descriptor, pipe.descriptor)
    return {**options, "file_actions": [inherit, *actions]}


def _is_called_by(code: CodeType | None) -> bool:
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return False
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


def _with_context(
    env: Any, environment: ChildEnvironment, execution: Execution, added: Mapping[str, str]
) -> Any:
    if env is None and not _INHERITS:
        return env  # raises the error that the program expects
    try:
        return environment.with_context(env, None, execution, added)[0]
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.environment", error)
        return env
