"""Notices the first child that a program starts by other means than ``Popen``.

Imports only modules that every interpreter has loaded, because each Python child of an instrumented program starts it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

UVLOOP = "uvloop"
_FORKS = ("fork", "forkpty")
_FUNCTIONS = ("system", "posix_spawn", "posix_spawnp", *_FORKS)
"""Functions of ``os`` that start a child. All others call one of these."""
_UVLOOP_METHODS = ("subprocess_exec", "subprocess_shell")
_COPIED = ("__module__", "__name__", "__qualname__", "__doc__", "__text_signature__", "__self__")
_FORK_ONLY = {"billiard", "eventlet", "gevent", "gunicorn", "multiprocessing", "socketserver", "subprocess"}
"""Packages whose forked children execute no other program by ``os.exec*``."""


class FirstCall:
    """Looks like a built-in function of ``os``, and calls it. Before that, it calls something else.

    An instrumentation replaces it by a wrapper of the same built-in function, which it then calls instead: the program
    may have imported it by name.
    """

    def __init__(self, original: Callable[..., Any], before: Callable[[], object]) -> None:
        for name in _COPIED:
            setattr(self, name, getattr(original, name, None))
        self.__wrapped__ = original
        self._before = before

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        if self.__wrapped__.__name__ not in _FORKS or may_execute(_name(sys._getframe(1))):
            self._before()
        current = getattr(os, self.__wrapped__.__name__, None)
        # Another library's wrapper calls this object.
        replaced = current is not self and getattr(current, "__wrapped__", None) is self.__wrapped__
        called: Any = current if replaced else self.__wrapped__
        return called(*args, **kwargs)

    def __reduce__(self) -> str:
        """Pickle by name."""
        return self.__wrapped__.__name__

    def __repr__(self) -> str:
        """Return the text of the built-in function."""
        return repr(self.__wrapped__)


def watch_functions(before: Callable[[], object]) -> None:
    """Call something before each call of a function of ``os`` that starts a child, until it is instrumented.

    Args:
        before: does nothing after the first time.
    """
    for name in _FUNCTIONS:
        original: Any = getattr(os, name, None)
        if type(original) is not type(os.getpid):
            continue  # there is none, or another library has replaced it
        home = sys.modules.get(original.__module__)
        replacement = FirstCall(original, before)
        for module in (os, home):  # pickling refers to the second one, `posix`
            if getattr(module, name, None) is original:
                setattr(module, name, replacement)


def watch_uvloop(module: ModuleType, before: Callable[[], bool]) -> None:
    """Call something before each child that uvloop starts, which it does in C.

    Args:
        module: ``uvloop``.
        before: returns whether it has instrumented uvloop; it does so once.
    """
    for name in _UVLOOP_METHODS:
        original = getattr(module.Loop, name, None)
        if original is not None:
            setattr(module.Loop, name, _method(module.Loop, name, original, before))


def _method(loop: Any, name: str, original: Any, before: Callable[[], bool]) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        # The instrumentation's wrapper calls this function.
        called = vars(loop)[name] if before() else original
        return called(self, *args, **kwargs)

    method.__name__, method.__qualname__, method.__doc__ = name, original.__qualname__, original.__doc__
    return method


def stop_watching_forks() -> None:
    """Let forks be as before. They need no wrapper: an instrumentation has handlers of ``register_at_fork``.

    Not even before the first child: what they import, such as `logging`, has such handlers too.
    """
    for name in _FORKS:
        found: Any = getattr(os, name, None)
        if type(found) is not FirstCall:
            continue
        original: Any = found.__wrapped__
        for module in (os, sys.modules.get(original.__module__)):
            if getattr(module, name, None) is found:
                setattr(module, name, original)


def forking_module() -> str:
    """Return the name of the module that forks this process, in a handler of ``register_at_fork``."""
    frame: Any = sys._getframe(1)
    while frame is not None and _name(frame).startswith("sandscope."):
        frame = frame.f_back
    return "" if frame is None else _name(frame)


def _name(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", ""))


def may_execute(module: str) -> bool:
    """Return whether a child that a module forks may execute another program by ``os.exec*``."""
    package = module.partition(".")[0]
    return package not in _FORK_ONLY and not package.startswith("sandscope")
