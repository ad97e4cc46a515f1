"""The wrappers around ``Popen``."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from types import CodeType
from typing import TYPE_CHECKING, Any

from sandscope.instrumentation import Execution, Recorder, Site, note_execution, report_error
from sandscope_instrumentation_subprocess._measures._cold_start import ColdStarts
from sandscope_instrumentation_subprocess._registry import Registry
from sandscope_instrumentation_subprocess._sites import UNKNOWN, message_of, site_of
from sandscope_instrumentation_subprocess._starts._popen_environment import (
    ChildEnvironment,
    Prepared,
    prepare,
)
from sandscope_instrumentation_subprocess._starts._relay_pipes import ChildEnd, open_pipe
from sandscope_instrumentation_subprocess._waits._asyncio_waits import waits_in_thread

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._measures._captured_output import CapturedOutput

# Not `Popen.__init__`: an additional frame between it and its caller would change the line that its
# EncodingWarning names. `__init__` calls this method once for each child, with positional arguments.
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
_ARGS, _EXECUTABLE, _PREEXEC_FN, _CLOSE_FDS, _PASS_FDS, _CWD, _ENV, _SHELL = (
    PARAMETERS.index(name) - 1
    for name in ("args", "executable", "preexec_fn", "close_fds", "pass_fds", "cwd", "env", "shell")
)
_ISOLATE = "isolate"
_CALLER_DEPTH = 3  # frames above `_caller_waits`: the wrapper, `Popen.__init__`, its caller


def execute_child(
    recorder: Recorder,
    registry: Registry,
    environment: ChildEnvironment,
    waiting: Set[CodeType],
    patch_asyncio: Callable[[], None],
    *,
    output: CapturedOutput | None,
    cold_starts: ColdStarts,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a ``Popen._execute_child`` that begins an execution and passes its context to the child.

    Args:
        recorder: begins executions.
        registry: of the children.
        environment: adds the context.
        waiting: the code objects of functions that start a child and wait for it next.
        patch_asyncio: is called for each child.
        output: records what children write.
        cold_starts: records how long children take to start.
    """

    def make(original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def _execute_child(self: Any, *given: Any) -> None:
            execution = recorder.begin(_site(given))
            if execution is None:
                return original(self, *given)
            added = cold_starts.ask(execution)
            prepared = _prepare(given, environment)
            pipe = open_pipe(execution) if prepared is None or prepared.relays else None
            if pipe is not None:
                given, added = _with_pipe(given, pipe), {**added, **pipe.variables}
            spawned = time.perf_counter_ns()
            try:
                original(self, *_with_context(given, environment, execution, added, prepared))
            except BaseException as error:
                execution.fail(error, message=message_of(error))
                raise
            finally:
                note_execution()  # not before: the child runs meanwhile
                environment.clear_next()
                if pipe is not None:
                    pipe.close()
            cold_starts.on_exec(execution.site, spawned)
            patch_asyncio()
            if output is not None:
                output.remember(self, execution)
            registry.add(
                getattr(self, "pid", None),
                execution,
                caller_waits=_caller_waits(self, waiting),
                prepared=given[_PREEXEC_FN] is not None,
                meta_file=_meta_file(given, execution) if execution.site.name == _ISOLATE else None,
            )
            return None

        return _execute_child

    return make


def get_handles(recorder: Recorder) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a ``Popen._get_handles`` that records a child which cannot start for lack of file descriptors."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def _get_handles(self: Any, *args: Any) -> Any:
            try:
                return original(self, *args)
            except OSError as error:
                execution = recorder.begin(UNKNOWN)
                if execution is not None:
                    execution.fail(error, message=message_of(error))
                raise

        return _get_handles

    return make


def wait(registry: Registry, timeout_expired: type[Exception]) -> Callable[[Callable[..., Any]], Any]:
    """Make a ``Popen.wait`` (or ``communicate``) that records a timeout with the child."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wait(self: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter_ns()
            try:
                return original(self, *args, **kwargs)
            except timeout_expired:
                child = registry.get(getattr(self, "pid", None))
                if child is not None:
                    child.note_timeout(started)
                raise
            except BaseException:  # a handler of SIGALRM may raise TimeoutError
                child = registry.get(getattr(self, "pid", None))
                if child is not None:
                    child.note_cancelled_wait(started)
                raise

        return wait

    return make


def _site(given: Sequence[Any]) -> Site:
    try:
        return site_of(given[_ARGS], given[_EXECUTABLE], shell=bool(given[_SHELL]))
    except Exception:  # noqa: BLE001 -- the arguments are not valid, and Popen raises the error
        return UNKNOWN


def _meta_file(given: Sequence[Any], execution: Execution) -> str | None:
    from sandscope_instrumentation_subprocess._evidence._isolate_meta import meta_file_of

    try:
        return meta_file_of(given[_ARGS], given[_CWD])
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.meta_file", error)
        return None


def _caller_waits(popen: Any, waiting: Set[CodeType]) -> bool:
    """Return whether the caller of ``Popen`` waits next for the child itself, and not for its output."""
    try:
        caller = sys._getframe(_CALLER_DEPTH).f_code
    except ValueError:
        return False  # Popen is the first function of a thread
    if caller in waiting:
        return popen.stdin is None and popen.stdout is None and popen.stderr is None
    return waits_in_thread(caller)


def _with_pipe(given: tuple[Any, ...], pipe: ChildEnd) -> tuple[Any, ...]:
    """Let the child inherit its end, whether or not the other descriptors of this process are closed in it."""
    changed = list(given)
    try:
        changed[_PASS_FDS] = (*given[_PASS_FDS], pipe.descriptor)
    except TypeError:
        return given  # they are not valid, and Popen raises the error
    return tuple(changed)


def _prepare(given: Sequence[Any], environment: ChildEnvironment) -> Prepared | None:
    """Return what the child inherits, unless the program says what it gets, or code of the program runs in it."""
    if given[_ENV] is not None or given[_PREEXEC_FN] is not None:
        return None
    if not environment.patches_fork_exec or not given[_CLOSE_FDS]:
        return None
    try:
        return prepare()
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.environment", error)
        return None


def _with_context(
    given: Sequence[Any],
    environment: ChildEnvironment,
    execution: Execution,
    added: Mapping[str, str],
    prepared: Prepared | None,
) -> Sequence[Any]:
    try:
        if prepared is not None:
            environment.set_next(execution, added, prepared)
            return given
        env, preexec_fn = environment.with_context(given[_ENV], given[_PREEXEC_FN], execution, added)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.environment", error)
        return given
    changed = list(given)
    changed[_ENV], changed[_PREEXEC_FN] = env, preexec_fn
    return changed
