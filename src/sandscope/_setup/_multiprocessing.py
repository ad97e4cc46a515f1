"""The end of a child of multiprocessing: by ``os._exit``, often without exit handlers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_registered: set[Callable[..., object]] = set()


def call_at_child_exit(function: Callable[..., object], *arguments: Any) -> None:
    """Call a function when such a child ends, as its exit handler would be.

    Args:
        function: called in every child, grandchildren too; twice where exit handlers run as well.
        arguments: what with.
    """
    _register(function, arguments)  # this may be a child itself: a fork server's import the program anew
    os.register_at_fork(after_in_child=lambda: _register(function, arguments))


def _register(function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    # Not imported here: a program that forks by other means has no use for it.
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None and function not in _registered:
        _registered.add(function)  # grandchildren inherit what a child has registered

        def at_exit(_: object) -> None:
            util.Finalize(None, function, arguments, exitpriority=-100)  # after the program's own

        util.register_after_fork(function, at_exit)
