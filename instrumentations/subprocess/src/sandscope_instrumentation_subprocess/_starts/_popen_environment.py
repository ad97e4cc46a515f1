"""The environment of a child: the trace context is added, and everything else stays the same."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from os import putenv, unsetenv
from typing import Any, NamedTuple, TypeAlias

from sandscope.instrumentation import (
    COLD_START_VARIABLE,
    Execution,
    SandscopeError,
    children_continue_trace,
    entries_at_start,
    inject_execution,
    instruments_python,
    python_path_of_child,
    relay,
    report_error,
)
from sandscope_instrumentation_subprocess._starts._c_environment import c_environment

_Preexec: TypeAlias = "Callable[[], Any] | None"

_PATH = "PYTHONPATH"
_PATH_ENTRY = b"PYTHONPATH="
_TRACESTATE = "TRACESTATE"
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # those of `os.fsencode`
_ENV_LIST = 5  # the position among the arguments of `_fork_exec`, in all versions that have it


class _NextChild(threading.local):
    execution: Execution | None = None
    added: Mapping[str, str]
    prepared: Prepared


class ChildEnvironment:
    """The environment that children of ``Popen`` get."""

    def __init__(self, *, patches_fork_exec: bool = False) -> None:
        """Begin without a child.

        Args:
            patches_fork_exec: whether `fork_exec` wraps the function that starts children.
        """
        self.patches_fork_exec = patches_fork_exec
        self._next = _NextChild()

    def set_next(self, execution: Execution, added: Mapping[str, str], prepared: Prepared) -> None:
        """Have this thread's next `_fork_exec` add a context and other variables to the inherited environment."""
        following = self._next
        following.execution, following.added, following.prepared = execution, added, prepared

    def clear_next(self) -> None:
        """Undo `set_next`."""
        self._next.execution = None

    def fork_exec(self, original: Callable[..., int]) -> Callable[..., int]:
        """Make a ``_fork_exec`` that adds the context; ``Popen`` itself would encode each variable, each time."""

        @functools.wraps(original)
        def _fork_exec(*args: Any) -> int:
            following = self._next
            execution = following.execution
            if execution is not None and args[_ENV_LIST] is None:
                try:
                    variables = _inherited(following.prepared, execution, following.added)
                    args = (*args[:_ENV_LIST], variables, *args[_ENV_LIST + 1 :])
                except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                    report_error("subprocess.environment", error)
            return original(*args)

        return _fork_exec

    def with_context(
        self, env: Any, preexec_fn: _Preexec, execution: Execution, added: Mapping[str, str]
    ) -> tuple[Any, _Preexec]:
        """Return ``env`` and ``preexec_fn`` for a child that continues a trace.

        Args:
            env: as given to ``Popen``; it is not modified.
            preexec_fn: as given to ``Popen``.
            execution: that the child continues.
            added: other variables for the child.
        """
        if env is None and preexec_fn is None:
            entries = (entry.partition(b"=") for entry in _inherited(prepare(), execution, added))
            return {name: value for name, equals, value in entries if equals}, None
        carrier = carrier_of(execution) | dict(added)
        if env is None and preexec_fn is not None:
            # With an explicit environment, variables that preexec_fn sets by putenv would be lost.
            changes = changes_to_inherit(carrier, c_environment())
            return None, _with_variables(changes, preexec_fn) if changes else preexec_fn
        return merge(env, carrier), preexec_fn


def carrier_of(execution: Execution) -> dict[str, str]:
    """Return the environment variables that a child gets which continues an execution."""
    carrier: dict[str, str] = {}
    if children_continue_trace():
        inject_execution(carrier, execution)
    return carrier


def changes_to_inherit(carrier: Mapping[str, str], inherited: Iterable[bytes]) -> dict[str, str | None]:
    """Return the variables that a process has to set, or to remove, so that a program which it executes inherits them.

    Args:
        carrier: the context that the program continues.
        inherited: the variables that the process has, as ``NAME=VALUE``.
    """
    entries = list(inherited)
    changes: dict[str, str | None] = {}
    if carrier and not _set_by_user(entries, carrier):
        changes = {_TRACESTATE: None, **carrier}
    for entry in entries:
        if entry.startswith(_PATH_ENTRY):
            changes[_PATH] = _python_path(entry[len(_PATH_ENTRY) :])
    return changes


class Prepared(NamedTuple):
    """What is the same for all children that inherit the same: it would delay the start of each.

    Attributes:
        inherited: the variables that it was made from.
        continues: whether children get the trace context.
        relays: whether they may get a pipe for their telemetry.
        kept: the variables of a child without those of a carrier, and whether the carrier is added; by its names.
    """

    inherited: list[bytes]
    continues: bool
    relays: bool
    kept: dict[tuple[str, ...], tuple[list[bytes], bool]]


_prepared: Prepared | None = None


def prepare() -> Prepared:
    """Return what children have in common that inherit this process's environment as it is now."""
    global _prepared  # noqa: PLW0603 -- most children inherit the same as the one before
    entries, prepared = c_environment(), _prepared
    if prepared is None or entries is not prepared.inherited:
        prepared = _prepared = Prepared(entries, children_continue_trace(), _may_relay(), {})
    return prepared


def _may_relay() -> bool:
    try:
        return relay() is not None
    except SandscopeError:
        return True  # whoever opens the pipe reports it


def _inherited(prepared: Prepared, execution: Execution, added: Mapping[str, str]) -> list[bytes]:
    carrier: dict[str, str] = {}
    if prepared.continues:
        inject_execution(carrier, execution)
    if added:
        carrier.update(added)
    names = tuple(carrier)
    if names not in prepared.kept:
        prepared.kept[names] = _keep(prepared.inherited, carrier)
    kept, is_added = prepared.kept[names]
    if not is_added:
        return kept
    return kept + [f"{name}={value}".encode(_ENCODING, _ERRORS) for name, value in carrier.items()]


def _keep(entries: list[bytes], carrier: Mapping[str, str]) -> tuple[list[bytes], bool]:
    is_added = bool(carrier) and not _set_by_user(entries, carrier)
    if is_added:
        stale = _beginnings(_TRACESTATE, *carrier)
        entries = [entry for entry in entries if not entry.startswith(stale)]
    return [_with_sandscope(entry) if entry.startswith(_PATH_ENTRY) else entry for entry in entries], is_added


def _with_sandscope(entry: bytes) -> bytes:
    return _PATH_ENTRY + os.fsencode(_python_path(entry[len(_PATH_ENTRY) :]))


def merge(env: Mapping[Any, Any], carrier: Mapping[str, str]) -> Mapping[Any, Any]:
    """Return the variables for a child, unless they are not valid.

    Args:
        env: as given by the program; it is not modified.
        carrier: the context that the child continues.
    """
    try:
        variables = dict(env.items())
        names = {os.fsencode(name): name for name in variables}
        given = (name for name in map(os.fsencode, carrier) if name in names)
        if not _set_by_user((name + b"=" + os.fsencode(variables[names[name]]) for name in given), carrier):
            for stale in (*carrier, _TRACESTATE) if carrier else ():
                variables.pop(names.get(os.fsencode(stale)), None)
            variables.update(carrier)
        path = names.get(_PATH.encode())
        if path is not None:
            variables[path] = _python_path(variables[path])
        if path is None or not instruments_python(variables[path]):
            variables.pop(COLD_START_VARIABLE, None)
    except (AttributeError, TypeError, UnicodeError):
        return env  # it is not valid, and Popen raises the error
    return variables


def _set_by_user(entries: Iterable[bytes], carrier: Mapping[str, str]) -> bool:
    """Return whether the program has set a context itself. One that this process inherited is stale."""
    names = _beginnings(*carrier)
    return any(entry.startswith(names) and entry not in entries_at_start() for entry in entries)


@lru_cache(maxsize=16)
def _beginnings(*names: str) -> tuple[bytes, ...]:
    """Return how the variables with these names begin in an environment."""
    return tuple(os.fsencode(f"{name}=") for name in names)


def _python_path(value: str | bytes) -> str:
    return python_path_of_child(os.fsdecode(value))


def set_variables(variables: Mapping[str, str | None]) -> None:
    """Set variables of this process for C code and the programs that it executes; None removes one."""
    for name, value in variables.items():
        if value is None:
            unsetenv(name)
        else:
            putenv(name, value)


def _with_variables(variables: Mapping[str, str | None], preexec_fn: Callable[[], Any]) -> Callable[[], Any]:
    def preexec() -> Any:
        with suppress(Exception):
            set_variables(variables)
        return preexec_fn()

    return preexec
