"""Exceptions of host functions: remembered where they are raised, so that the verdict on the call is right.

wasmtime keeps the last exception of the process in one global variable, so a call may raise another thread's.
"""

from __future__ import annotations

import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import Execution, Verdict, is_instrumentation_enabled
from sandscope_instrumentation_wasmtime._evidence._engine_messages import engine_message
from sandscope_instrumentation_wasmtime._evidence._shared_stack import SHARED_STACK, shares_stack
from sandscope_instrumentation_wasmtime._verdicts import HOST_ERROR, INVALID_CALL, has_code, verdict_of

_RERAISING = {
    ("wasmtime._func", "maybe_raise_last_exn"),
    ("wasmtime.component._enter", "maybe_raise_last_exn"),
}
"""wasmtime's functions (module and name) that raise the last exception of the process."""


_ENTERED = {"trap", "run"}
"""Variables of wasmtime's methods `Func.__call__`, one of each, that are set when the guest is entered."""


_WITHOUT_VALUES = (ValueError, AttributeError)
"""Python's classes of which wasmtime's code raises exceptions that say nothing of the values it was given."""


class _Thread(threading.local):
    """What is known of the calls of one thread.

    Attributes:
        host_error: the verdict on the exception that a host function raised, until the call around it ends.
        last_failure: the exception of the last failed call, and its verdict: a host function may let it propagate.
        propagated: the last failed call ended with the exception of a call inside it.
    """

    host_error: Verdict | None = None
    last_failure: tuple[Callable[[], Any], Verdict] | None = None
    propagated = False


_thread = _Thread()


def remember_host_error(error: BaseException) -> None:
    """Remember that a host function raised an exception, which ends the guest's call around it."""
    if is_instrumentation_enabled():  # otherwise the call is not recorded, and nothing would clear it
        _thread.host_error = verdict_of_host(error)


def verdict_of_host(error: BaseException) -> Verdict:
    """Return the verdict on a host function that raised; if it let a guest's trap propagate, the trap's verdict."""
    last = _thread.last_failure
    if last is not None and _is_last_failure(error):
        return last[1]
    return verdict_of(error) if has_code(error) else HOST_ERROR


def _is_last_failure(error: BaseException) -> bool:
    return _thread.last_failure is not None and _thread.last_failure[0]() is error


def verdict_of_call(error: BaseException) -> Verdict:
    """Return the verdict on a call or an instantiation that raised.

    Args:
        error: the exception; what happened in the call decides, even if wasmtime raised another exception.
    """
    verdict, _thread.host_error = _thread.host_error, None
    _thread.propagated = _is_last_failure(error)
    if verdict is None:
        verdict = verdict_of(engine_error(error))
        if verdict.limit == "stack" and shares_stack(error):
            verdict = SHARED_STACK
        elif verdict == HOST_ERROR and isinstance(error, Exception) and not _reached_guest(error):
            verdict = INVALID_CALL
    try:
        _thread.last_failure = weakref.ref(error), verdict
    except (
        TypeError
    ):  # not a class of wasmtime, so it is a host error in all calls that it propagates through
        _thread.last_failure = None
    return verdict


def words_of(error: BaseException) -> str:
    """Return the engine's message on the call that failed last; if a trap inside it ended it, the message on that."""
    return engine_message(error if _thread.propagated else engine_error(error))


def has_values(error: BaseException) -> bool:
    """Return whether the message of an exception may contain values that the program has passed to wasmtime."""
    kind = type(error)
    if kind in _WITHOUT_VALUES or kind.__module__.startswith("wasmtime."):
        return False
    module = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
    return module.startswith("wasmtime.")


def hide_values(execution: Execution, _verdict: Verdict, error: BaseException) -> None:
    """Replace such a message.

    Args:
        execution: that is about to end.
        error: that it raised.
    """
    if has_values(error):
        execution.explain(f"{type(error).__qualname__} raised by wasmtime")


def comes_from_engine(error: BaseException) -> bool:
    """Return whether the engine, or a host function that the guest has called, raised an exception."""
    if type(error).__module__.startswith("wasmtime.") or _thread.host_error is not None:
        return True
    return any(
        (frame.f_globals.get("__name__"), frame.f_code.co_name) in _RERAISING
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _reached_guest(error: BaseException) -> bool:
    """Return whether wasmtime had checked and converted the arguments of a call before an exception was raised."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "__call__" and frame.f_globals.get("__name__", "").startswith("wasmtime."):
            return not _ENTERED.isdisjoint(frame.f_locals)
    return False


def engine_error(error: BaseException) -> BaseException:
    """Return the trap or error of this call, in case wasmtime raised the last exception of the process instead."""
    caller = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) in _RERAISING:
            variables: dict[str, Any] = {} if caller is None else caller.f_locals
            found = variables.get("trap_obj") or variables.get("error") or error.__context__
            return found if isinstance(found, BaseException) else error
        caller = frame
    return error
