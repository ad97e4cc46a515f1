"""Exit handlers for children of multiprocessing, which end with ``os._exit``, often without running `atexit`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_registered: set[Callable[..., object]] = set()


def call_at_child_exit(function: Callable[..., object], *arguments: Any) -> None:
    """Call a function at the exit of every child of multiprocessing, including children of children.

    Args:
        function: the function. It is called twice if the child also runs `atexit` handlers.
        arguments: the arguments of the function.
    """
    # This process may itself be a child: children of a fork server import the program.
    _register(function, arguments)
    os.register_at_fork(after_in_child=lambda: _register(function, arguments))


def _register(function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    # Not imported here: programs that fork by other means do not need it.
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None and function not in _registered:
        _registered.add(function)  # children of this child inherit the registration

        def at_exit(_: object) -> None:
            util.Finalize(None, function, arguments, exitpriority=-100)  # after the program's own

        util.register_after_fork(function, at_exit)
        if sys.modules["multiprocessing.process"].parent_process() is not None:
            at_exit(None)  # this is a child that has begun to run
