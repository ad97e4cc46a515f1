"""The SDK's threads in programs that replace the standard library's with green threads: gevent and eventlet."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def threads_are_green() -> bool:
    """Return whether gevent or eventlet has replaced the threads of this process."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return bool(
        (gevent is not None and gevent.is_module_patched("threading"))
        or (eventlet is not None and eventlet.is_monkey_patched("thread"))
    )


@contextmanager
def threads_of_the_sdk() -> Iterator[None]:
    """Prepare the threads that the SDK starts in the ``with`` block for green threads.

    After a fork, the SDK starts its threads again. Where threads are green, this would let the child run the parent's
    other threads, too, and gevent forks for each subprocess; there, the SDK's handlers of forks are not called.
    """
    register = os.register_at_fork

    def register_guarded(**handlers: Callable[[], Any]) -> None:
        in_child = handlers.pop("after_in_child", None)
        if in_child is not None:
            handlers["after_in_child"] = lambda: None if threads_are_green() else in_child()
        register(**handlers)

    os.register_at_fork = register_guarded  # type: ignore[assignment]
    try:
        yield
    finally:
        os.register_at_fork = register


def end_quietly_at_exit() -> None:
    """Drop the errors of threads that started before threads became green, and end at the interpreter's exit.

    Call this after `shut_down_at_exit`: handlers run in reverse order.
    """
    atexit.register(_drop_errors_of_ended_threads)


def _drop_errors_of_ended_threads() -> None:
    if not threads_are_green():
        return
    report = sys.unraisablehook

    def report_others(unraisable: sys.UnraisableHookArgs) -> None:
        # The thread's own identifier is not the one by which `threading` knows it.
        in_bootstrap = getattr(unraisable.object, "__func__", None) is getattr(
            threading.Thread, "_bootstrap", 0
        )
        if not (in_bootstrap and isinstance(unraisable.exc_value, KeyError)):
            report(unraisable)

    sys.unraisablehook = report_others
