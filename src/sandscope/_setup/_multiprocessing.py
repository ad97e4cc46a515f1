"""Children of multiprocessing: exit handlers, as they end with ``os._exit``, and the name of the service."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import wrapt

from sandscope._setup._defaults import WORKER_OF, program_name

_registered: set[Callable[..., object]] = set()
_prepared = False


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


def prepare_workers() -> None:
    """Let workers of multiprocessing report the parent's service, and flush the workers of a pool at its end.

    Has no effect if called again.
    """
    global _prepared  # noqa: PLW0603 -- one program
    if _prepared:
        return
    _prepared = True
    wrapt.when_imported("multiprocessing.util")(_pass_program_name)
    if hasattr(os, "fork"):
        wrapt.when_imported("multiprocessing.pool")(_flush_workers)


def _pass_program_name(util: Any) -> None:
    """Pass the name to workers that start in a new interpreter, because their command line names no program."""
    name = program_name()
    if name is not None and hasattr(util, "_args_from_interpreter_flags"):
        wrapt.wrap_function_wrapper(
            util,
            "_args_from_interpreter_flags",
            lambda wrapped, _instance, args, kwargs: [*wrapped(*args, **kwargs), "-X", f"{WORKER_OF}={name}"],
        )


def _flush_workers(pool: Any) -> None:
    wrapt.wrap_function_wrapper(pool, "Pool.__init__", _create_pool)


def _create_pool(wrapped: Callable[..., None], pool: Any, args: Any, kwargs: Any) -> None:
    from sandscope._setup import _pool  # imports multiprocessing

    _pool.create_pool(wrapped, pool, args, kwargs)
