"""Exceptions that cross from host to guest: noted where a host function raises, judged where the call ends.

wasmtime keeps one last exception for the whole process: what a call raises may be another thread's.
"""

from __future__ import annotations

import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from sandscope.instrumentation import Verdict
from sandscope_instrumentation_wasmtime._verdicts import HOST_ERROR, has_code, verdict_of

_HANDS_OVER = {
    ("wasmtime._func", "maybe_raise_last_exn"),
    ("wasmtime.component._enter", "maybe_raise_last_exn"),
}


class _Thread(threading.local):
    """What the calls of one thread know of each other.

    Attributes:
        raised: what to say of the exception that a host function raised; the call around it takes it.
        ended: the exception that a call ended with, and the verdict; host functions may pass it on.
    """

    raised: Verdict | None = None
    ended: tuple[Callable[[], Any], Verdict] | None = None


_thread = _Thread()


def note_raised(error: BaseException) -> None:
    """Note what a host function raised: its exception ends the guest's call around it."""
    if is_instrumentation_enabled():  # else nobody will ask
        _thread.raised = verdict_of_host(error)


def verdict_of_host(error: BaseException) -> Verdict:
    """Return the verdict on a host function that raised: if it let a guest's trap pass, that guest's."""
    ended = _thread.ended
    if ended is not None and ended[0]() is error:
        return ended[1]
    return verdict_of(error) if has_code(error) else HOST_ERROR


def verdict_of_call(error: BaseException) -> Verdict:
    """Return the verdict on a guest's call or instantiation that raised, from what happened in it.

    Args:
        error: what it raised.
    """
    verdict, _thread.raised = _thread.raised, None
    if verdict is None:
        verdict = verdict_of(_what_the_engine_said(error))
    try:
        _thread.ended = weakref.ref(error), verdict
    except TypeError:  # of no class of wasmtime's, and so a host error in whichever call it crosses
        _thread.ended = None
    return verdict


def _what_the_engine_said(error: BaseException) -> BaseException:
    """Return the trap or error of this call, where wasmtime raises the last exception in its stead."""
    caller = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) in _HANDS_OVER:
            inside: dict[str, Any] = {} if caller is None else caller.f_locals
            said = inside.get("trap_obj") or inside.get("error") or error.__context__
            return said if isinstance(said, BaseException) else error
        caller = frame
    return error
