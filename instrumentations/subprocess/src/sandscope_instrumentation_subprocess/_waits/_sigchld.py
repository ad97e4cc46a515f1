"""Handlers of SIGCHLD in the program, which may reap children."""

from __future__ import annotations

import ctypes
import signal
from _signal import getsignal  # type: ignore[import-not-found] # of `signal`, it makes an enum for each child

_SIGCHLD = int(signal.SIGCHLD)  # an enum takes as long again

_LOOPS = "asyncio.unix_events"
"""Its handler does nothing: the loop reaps later."""

_sigaction = ctypes.PyDLL(None).sigaction
_action = (ctypes.c_void_p * 64)()
"""A ``struct sigaction``, which is smaller, and begins with the handler. Only read while the GIL is held."""

_DEFAULT_OR_IGNORED = (None, 1)


def handler_may_reap() -> bool:
    """Return whether a handler, of Python or C code, may reap a child as soon as it has exited.

    It runs as soon as a system call has returned. A program that waits for a child by one call would lose it to the
    handler if that call were two: one that looks at the zombie, and one that reaps it.
    """
    if _sigaction(_SIGCHLD, None, _action) or _action[0] in _DEFAULT_OR_IGNORED:
        return False
    return getattr(getsignal(_SIGCHLD), "__module__", None) != _LOOPS
