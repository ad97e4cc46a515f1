"""Manual instrumentation: executions of runtimes without an instrumentation."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sandscope import _guard, _settings
from sandscope._details import Value
from sandscope._execution import Execution, Site
from sandscope._locks import new_lock
from sandscope._not_recorded import NotRecorded
from sandscope._scope import Scope
from sandscope._verdict import Verdict
from sandscope._version import __version__

if TYPE_CHECKING:
    from sandscope._recording._recorder import Recorder

SCOPE = Scope("sandscope", __version__)
EXCEPTION = Verdict("RE", "guest", "re_exception")
INTERRUPTED = Verdict("IE", "host", "ie_interrupted")
OTHER = "other"
"""The runtime and operation of executions beyond the limit."""

_MAX_KINDS = 32
"""The maximum number of pairs of runtime and operation in a process, because both are attributes of metrics."""
_GENERATORS = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)

_F = TypeVar("_F", bound="Callable[..., Any]")
_logger = logging.getLogger("sandscope")
_lock = new_lock()
_kinds: set[tuple[str, str]] = set()
_recorder: Recorder | None = None


def execution(
    runtime: str,
    operation: str,
    *,
    name: str | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> ManualExecution:
    """Record an execution in a runtime without an instrumentation.

    Use it with ``with`` or ``async with``, or as a decorator of a function or coroutine function, which records each
    call as an execution. Leaving the block ends the execution with `OK`, unless it has already ended. An exception
    ends it as failed and is re-raised unchanged.

        with sandscope.execution("docker", "run", name="run python") as run:
            subprocess.run(command, env=run.environment(), check=True)

    Args:
        runtime: the name of the runtime. Runtime and operation are attributes of metrics, therefore a process can
            use at most 32 pairs of them. Further pairs are recorded as ``other``.
        operation: the name of the operation.
        name: the span's name; the runtime and the operation by default. Use a small number of different names.
        attributes: attributes of the span and the log record.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if a string is empty or cannot be encoded as UTF-8.
    """
    for what, text in (("runtime", runtime), ("operation", operation), ("name", name)):
        if what != "name" or text is not None:
            check_text(what, text)
    own = {} if attributes is None else dict(attributes)
    for key in own:
        check_text("attribute name", key)
    return ManualExecution(_site(runtime, operation, name), own)


class ManualExecution:
    """The result of `execution`: a context manager for one execution, or a decorator for any number of calls."""

    __slots__ = ("_attributes", "_run", "_site")

    def __init__(self, site: Site, attributes: Mapping[str, Value]) -> None:
        self._site, self._attributes = site, attributes
        self._run: Execution | None = None

    def __enter__(self) -> Execution:
        if self._run is not None:
            raise RuntimeError(
                "Cannot enter an execution twice: it has already begun. Call sandscope.execution() for each one."
            )
        self._run = run = self._begin(self._site) or NotRecorded(self._site)
        return run

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._run is None:
            return
        if error is None:
            self._run.finish()
        else:
            self._run.fail(error)

    async def __aenter__(self) -> Execution:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        """Return a wrapper that records each call of the function as an execution."""
        if not callable(function) or any(is_generator(function) for is_generator in _GENERATORS):
            raise TypeError(
                f"Cannot decorate {function!r}: it is not a function or coroutine function. Use `with` inside it."
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                with ManualExecution(self._site, self._attributes):
                    return await function(*args, **kwargs)

            return cast(_F, call_async)

        from sandscope._recording._recorder import recording

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return recording(self._begin, self._site, function, *args, **kwargs)

        return cast(_F, call)

    def _begin(self, site: Site) -> Execution | None:
        try:
            recorder = get_recorder()
            run = None if recorder is None else recorder.begin(site)
            if run is not None:
                from sandscope._recording._executors import note_execution

                note_execution()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("recorder.begin", error)
            return None
        if run is not None and self._attributes:
            run.set_attributes(self._attributes)
        return run


def verdict_of(error: BaseException) -> Verdict:
    """Return the verdict for an exception without further evidence."""
    return EXCEPTION if isinstance(error, Exception) else INTERRUPTED


def check_text(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(
            f"Cannot record an execution: {what} is {text!r}, not a string. Name it in one or two words."
        )
    try:
        empty = not text.strip() or not text.encode()
    except UnicodeEncodeError:
        empty = True
    if empty:
        raise ValueError(
            f"Cannot record an execution: {what} is {text!r}, not readable text. Name it in one or two words."
        )


@functools.lru_cache(maxsize=256)
def _site(runtime: str, operation: str, name: str | None) -> Site:
    name = name or f"{runtime} {operation}"
    kind = runtime, operation
    with _lock:
        if kind not in _kinds and len(_kinds) < _MAX_KINDS:
            _kinds.add(kind)
        elif kind not in _kinds:
            if (OTHER, OTHER) not in _kinds:
                _kinds.add((OTHER, OTHER))
                _logger.warning(
                    "Executions of %s %s are recorded as %s: the limit of %d runtimes and operations is reached. "
                    "Choose both from a small set. Use attributes for values that differ between executions.",
                    *(runtime, operation, OTHER, _MAX_KINDS),
                )
            kind = OTHER, OTHER
    return Site(*kind, name, verdict_of=verdict_of)


def get_recorder() -> Recorder | None:
    """Return the recorder, or None if the SDK is disabled."""
    global _recorder  # noqa: PLW0603 -- one recorder for the process
    if _recorder is None and not _settings.sdk_disabled():
        from sandscope._recording import _choice

        with _lock:
            if _recorder is None:
                _recorder = _choice.get_recorder(SCOPE)
    return _recorder
