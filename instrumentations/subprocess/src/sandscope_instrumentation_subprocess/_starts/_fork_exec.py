"""The wrappers around ``os.execv`` and ``os.execve``, which the others of the exec family call.

In a forked child, they tell the parent which program it executes. They do nothing in a process that was not forked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sandscope.instrumentation import report_error
from sandscope_instrumentation_subprocess._forked._forks import Fork, Forks
from sandscope_instrumentation_subprocess._sites import executable_name
from sandscope_instrumentation_subprocess._starts._c_environment import c_environment
from sandscope_instrumentation_subprocess._starts._popen_environment import (
    changes_to_inherit,
    merge,
    set_variables,
)

_Make = Callable[[Callable[..., Any]], Callable[..., Any]]


def execv(forks: Forks) -> _Make:
    """Make an ``os.execv`` by which the program inherits the context too."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def execv(path: Any, argv: Any) -> Any:
            fork = forks.own
            if fork is None:
                return original(path, argv)
            with _reported(fork, path), _variables(fork):
                return original(path, argv)

        return execv

    return make


def execve(forks: Forks) -> _Make:
    """Make an ``os.execve`` that adds the context to the program's environment."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def execve(path: Any, argv: Any, env: Any) -> Any:
            fork = forks.own
            if fork is None:
                return original(path, argv, env)
            with _reported(fork, path):
                return original(path, argv, _with_context(env, fork))

        return execve

    return make


@contextmanager
def _reported(fork: Fork, path: Any) -> Iterator[None]:
    """Report the execution of a program, and withdraw it if it fails: ``os.execvp`` tries several folders."""
    name = ""
    try:
        name = executable_name(path)
        fork.slot.execute(name)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.exec", error)
    try:
        yield
    except OSError as error:
        fork.slot.fail(error, name)
        raise
    except BaseException:
        fork.slot.announce()
        raise


@contextmanager
def _variables(fork: Fork) -> Iterator[None]:
    """Set the variables with the context, and restore the earlier ones if the program cannot be executed."""
    before: dict[str, str | None] = {}
    try:
        inherited = c_environment()
        changes = changes_to_inherit(fork.carrier, inherited)
        values = dict(entry.partition("=")[::2] for entry in map(os.fsdecode, inherited))
        before = {name: values.get(name) for name in changes}
        set_variables(changes)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.environment", error)
    try:
        yield
    finally:
        set_variables(before)


def _with_context(env: Any, fork: Fork) -> Any:
    try:
        return merge(env, fork.carrier)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.environment", error)
        return env
