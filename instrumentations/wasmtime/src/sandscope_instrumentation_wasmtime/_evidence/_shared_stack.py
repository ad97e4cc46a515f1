"""A stack that a guest shares with host functions: if it is exhausted, it is not known who used it.

A store has one stack for all its calls on a thread. If a host function calls its guest again, the frames of the host
function, of Python and of wasmtime are on that stack, too.
"""

from __future__ import annotations

import traceback
from types import FrameType
from typing import Any

from sandscope.instrumentation import Verdict

SHARED_STACK = Verdict("IE", "unknown", "ie_shared_stack")


def shares_stack(error: BaseException) -> bool:
    """Return whether the call that raised an exception, and still is on the stack, was made by a host function.

    Args:
        error: the exception. Its traceback starts at or above wasmtime's frame.
    """
    from wasmtime import Store

    for frame, _ in traceback.walk_tb(error.__traceback__):
        store = _store_of(frame)
        if store is not None:
            return not isinstance(store, Store) or _is_running(store, frame.f_back)
    return False


def _is_running(store: Any, frame: FrameType | None) -> bool:
    while frame is not None:
        if _store_of(frame) is store:
            return True
        frame = frame.f_back
    return False


def _store_of(frame: FrameType) -> Any:
    """Return the argument ``store`` of a method of wasmtime: a store, or a caller inside a host function."""
    if "store" not in frame.f_code.co_varnames or not frame.f_globals.get("__name__", "").startswith(
        "wasmtime."
    ):
        return None
    return frame.f_locals.get("store")
