"""Whether a timer of the program has just called code that sends a signal."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

_MOST_FRAMES = 32
_KILLS = {"kill", "killpg", "send_signal", "terminate"}


def sends_by_timer(life: float) -> bool:
    """Return whether the code that runs now was called by a timer, which is a limit of the child's time.

    A timer that expires more often than that looks at other things, unless all that it does is to send a signal.

    Args:
        life: the child's age in seconds.
    """
    threading, asyncio_events = sys.modules.get("threading"), sys.modules.get("asyncio.events")
    thread_timer = _code(getattr(threading, "Timer", None), "run")
    asyncio_handle = _code(asyncio_events, "Handle", "_run")
    alarm = _code(_alarm_handler())
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return False
        if frame.f_code is thread_timer:
            timer = frame.f_locals.get("self")
            return _is_kill(getattr(timer, "function", None)) or 2 * getattr(timer, "interval", 0) >= life
        if frame.f_code is asyncio_handle:
            handle = frame.f_locals.get("self")
            return hasattr(handle, "when") and _is_kill(getattr(handle, "_callback", None))
        if frame.f_code is alarm:
            return True
        frame = frame.f_back
    return False


def _code(thing: Any, *names: str) -> Any:
    for name in names:
        thing = getattr(thing, name, None)
    return getattr(thing, "__code__", _code)  # no frame has a function in place of its code


def _alarm_handler() -> Any:
    """Return the function that handles SIGALRM, if it is sent only once."""
    import signal

    if not hasattr(signal, "setitimer") or signal.getitimer(signal.ITIMER_REAL)[1]:
        return None
    return signal.getsignal(signal.SIGALRM)


def _is_kill(function: Any) -> bool:
    return getattr(function, "__name__", None) in _KILLS
