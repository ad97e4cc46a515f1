"""The SDK in programs that replace the standard library's threads with green threads: gevent and eventlet."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sandscope import _first_use, _guard

_GEVENT_IMPORTS = ("format_context", "loop", "resolver", "threadpool")
"""The settings of gevent that name what it imports when a thread first waits."""


def _threads_are_green() -> bool:
    """Return whether gevent or eventlet has replaced the threads of this process."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return bool(
        (gevent is not None and gevent.is_module_patched("threading"))
        or (eventlet is not None and eventlet.is_monkey_patched("thread"))
    )


@contextmanager
def forks_of_gevent() -> Iterator[None]:
    """Prepare for gevent what the SDK registers in the ``with`` block.

    After a fork, the SDK starts its threads again. gevent forks for each subprocess, and to start a green thread is to
    run the others, too: the child would continue the parent's program instead of executing its own. Therefore, the
    SDK's handlers are not called in such a child.
    """
    register = os.register_at_fork

    def register_guarded(**handlers: Callable[[], Any]) -> None:
        in_child = handlers.pop("after_in_child", None)
        if in_child is not None:
            handlers["after_in_child"] = lambda: None if _gevent_executes_a_program() else in_child()
        register(**handlers)

    os.register_at_fork = register_guarded  # type: ignore[assignment]
    try:
        yield
    finally:
        os.register_at_fork = register


def _gevent_executes_a_program() -> bool:
    """Return whether this process was forked to execute another program."""
    if "gevent.subprocess" not in sys.modules:
        return False
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != "gevent.subprocess":
        frame = frame.f_back
    return frame is not None


def load_gevent_before_it_patches() -> None:
    """Let gevent import everything that a thread needs before it replaces locks, among them the import locks.

    From then on, the threads of the SDK wait by gevent, which imports at the first wait of each: two threads that
    exported at that moment waited for each other's imports until the exit timeout.
    """
    _first_use.after_import("gevent.monkey", _subscribe)


def _subscribe(_module: object) -> None:
    from gevent import events  # type: ignore[import-untyped]

    events.subscribers.append(_load_gevent)


def _load_gevent(event: object) -> None:
    if not any(kind.__name__ == "GeventWillPatchEvent" for kind in type(event).__mro__):
        return
    try:
        from gevent import config

        for setting in _GEVENT_IMPORTS:
            getattr(config, setting)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("gevent", error)


def end_quietly_at_exit() -> None:
    """Drop the errors of threads that started before threads became green, and end at the interpreter's exit.

    Call this after `shut_down_at_exit`: handlers run in reverse order.
    """
    atexit.register(_drop_errors_of_ended_threads)


def _drop_errors_of_ended_threads() -> None:
    if not _threads_are_green():
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
