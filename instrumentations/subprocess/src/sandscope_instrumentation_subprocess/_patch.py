"""The wrappers around ``Popen``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence, Set
from types import CodeType
from typing import Any

from sandscope.instrumentation import Execution, Recorder, Site, report_error
from sandscope_instrumentation_subprocess._environment import Environment
from sandscope_instrumentation_subprocess._registry import Registry
from sandscope_instrumentation_subprocess._sites import UNKNOWN, site_of

# Not `Popen.__init__`: a frame of ours between it and its caller would change which line of the program its
# EncodingWarning names. `__init__` calls this once for each child, with its arguments in order.
PARAMETERS = (
    "self",
    "args",
    "executable",
    "preexec_fn",
    "close_fds",
    "pass_fds",
    "cwd",
    "env",
    "startupinfo",
    "creationflags",
    "shell",
)
_ARGS, _EXECUTABLE, _PREEXEC_FN, _CLOSE_FDS, _ENV, _SHELL = (
    PARAMETERS.index(name) - 1 for name in ("args", "executable", "preexec_fn", "close_fds", "env", "shell")
)
_CALLER = 3  # frames up from `_waited_for`: our wrapper, `Popen.__init__`, its caller


def execute_child(
    recorder: Recorder, registry: Registry, environment: Environment, waiting: Set[CodeType]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a ``Popen._execute_child`` that begins an execution and hands its context to the child.

    Args:
        recorder: begins executions.
        registry: gets the children.
        environment: gets the contexts.
        waiting: the code of functions that wait for what they have started before they do anything else.
    """

    def make(original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def _execute_child(self: Any, *given: Any) -> None:
            execution = recorder.begin(_site(given))
            if execution is None:
                return original(self, *given)
            try:
                original(self, *_with_context(given, environment, execution))
            except BaseException as error:
                execution.fail(_without_path(error))
                raise
            finally:
                environment.withdraw()
            registry.add(getattr(self, "pid", None), execution, waited_for=_waited_for(self, waiting))
            return None

        return _execute_child

    return make


def get_handles(recorder: Recorder) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a ``Popen._get_handles`` that tells when there are no descriptors left for a child."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def _get_handles(self: Any, *args: Any) -> Any:
            try:
                return original(self, *args)
            except OSError as error:
                execution = recorder.begin(UNKNOWN)
                if execution is not None:
                    execution.fail(_without_path(error))
                raise

        return _get_handles

    return make


def wait(registry: Registry, timeout_expired: type[Exception]) -> Callable[[Callable[..., Any]], Any]:
    """Make a ``Popen.wait`` (or ``communicate``) that notes when the program has waited in vain."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wait(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(self, *args, **kwargs)
            except timeout_expired:
                child = registry.get(getattr(self, "pid", None))
                if child is not None:
                    child.timed_out = True
                raise

        return wait

    return make


def _site(given: Sequence[Any]) -> Site:
    try:
        return site_of(given[_ARGS], given[_EXECUTABLE], shell=bool(given[_SHELL]))
    except Exception:  # noqa: BLE001 -- whatever is wrong with it, Popen says so
        return UNKNOWN


def _waited_for(popen: Any, waiting: Set[CodeType]) -> bool:
    """Return whether the caller of ``Popen`` waits for the child now, and not for its output."""
    if popen.stdin is not None or popen.stdout is not None or popen.stderr is not None:
        return False
    try:
        return sys._getframe(_CALLER).f_code in waiting
    except ValueError:
        return False  # a thread's first function


def _with_context(given: Sequence[Any], environment: Environment, execution: Execution) -> Sequence[Any]:
    try:
        if environment.handing and given[_CLOSE_FDS] and given[_ENV] is None and given[_PREEXEC_FN] is None:
            environment.hand(execution.context)
            return given
        env, preexec_fn = environment.with_context(given[_ENV], given[_PREEXEC_FN], execution.context)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.environment", error)
        return given
    changed = list(given)
    changed[_ENV], changed[_PREEXEC_FN] = env, preexec_fn
    return changed


def _without_path(error: BaseException) -> BaseException:
    """Leave out the path: it may be an argument or the working directory, which telemetry does not carry."""
    if isinstance(error, OSError) and error.filename is not None:
        return OSError(error.errno, error.strerror)
    return error
