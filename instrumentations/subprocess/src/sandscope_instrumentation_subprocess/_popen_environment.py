"""The environment of a child: the trace context is added, and everything else stays the same."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from os import putenv, unsetenv
from typing import Any, TypeAlias

from opentelemetry.context import Context

from sandscope.instrumentation import inject_environment, report_error

_Preexec: TypeAlias = "Callable[[], Any] | None"

_TRACESTATE = "TRACESTATE"
_ENV_LIST = 5  # the position among the arguments of `_fork_exec`, in all versions that have it


class _NextCarrier(threading.local):
    carrier: Mapping[str, str] | None = None


class ChildEnvironment:
    """The environment that a child inherits.

    ``os.environ`` does not contain what a program sets by ``os.putenv``, but children inherit that too.
    """

    def __init__(self, *, patches_fork_exec: bool = False) -> None:
        """Begin without any known change.

        Args:
            patches_fork_exec: whether `fork_exec` wraps the function that starts children.
        """
        self.patches_fork_exec = patches_fork_exec
        self._put: dict[bytes, bytes | None] = {}
        self._next = _NextCarrier()
        # Every change goes through the two wrappers below: `os.environ` calls the same functions.
        self._version = object()
        self._encoded: tuple[Any, list[bytes]] = None, []

    def putenv(self, original: Callable[..., None]) -> Callable[..., None]:
        """Make a ``putenv`` that records the change."""

        def putenv(name: Any, value: Any, /) -> None:
            original(name, value)
            self._put[os.fsencode(name)] = os.fsencode(value)
            self._version = object()

        return putenv

    def unsetenv(self, original: Callable[..., None]) -> Callable[..., None]:
        """Make an ``unsetenv`` that records the change."""

        def unsetenv(name: Any, /) -> None:
            original(name)
            self._put[os.fsencode(name)] = None
            self._version = object()

        return unsetenv

    def copy(self) -> dict[bytes, bytes]:
        """Return a copy of the variables, as bytes."""
        # `environb` stores these bytes; reading them through its own interface is a hundred times slower.
        stored = getattr(os.environb, "_data", None)
        variables = stored.copy() if type(stored) is dict else dict(os.environb)
        for name, value in self._put.copy().items():
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
        return variables

    def set_next(self, parent: Context) -> None:
        """Have this thread's next `_fork_exec` add a trace context to the inherited environment."""
        carrier: dict[str, str] = {}
        inject_environment(carrier, parent)
        self._next.carrier = carrier

    def clear_next(self) -> None:
        """Undo `set_next`."""
        self._next.carrier = None

    def fork_exec(self, original: Callable[..., int]) -> Callable[..., int]:
        """Make a ``_fork_exec`` that adds the context; ``Popen`` itself would encode each variable, each time."""

        @functools.wraps(original)
        def _fork_exec(*args: Any) -> int:
            carrier = self._next.carrier
            if carrier and args[_ENV_LIST] is None:
                try:
                    args = (*args[:_ENV_LIST], self._entries(carrier), *args[_ENV_LIST + 1 :])
                except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                    report_error("subprocess.environment", error)
            return original(*args)

        return _fork_exec

    def _entries(self, carrier: Mapping[str, str]) -> list[bytes]:
        key = self._version, *carrier
        known_key, entries = self._encoded
        if key != known_key:
            excluded = {os.fsencode(name) for name in (_TRACESTATE, *carrier)}
            variables = self.copy().items()
            entries = [b"%b=%b" % variable for variable in variables if variable[0] not in excluded]
            self._encoded = key, entries
        return [*entries, *[os.fsencode(f"{name}={value}") for name, value in carrier.items()]]

    def with_context(self, env: Any, preexec_fn: _Preexec, parent: Context) -> tuple[Any, _Preexec]:
        """Return ``env`` and ``preexec_fn`` for a child that continues a trace.

        Args:
            env: as given to ``Popen``; it is not modified.
            preexec_fn: as given to ``Popen``.
            parent: the context that the child continues.
        """
        carrier: dict[str, str] = {}
        inject_environment(carrier, parent)
        if not carrier:
            return env, preexec_fn
        if env is None:
            if preexec_fn is not None:
                # With an explicit environment, variables that preexec_fn sets by putenv would be lost.
                return None, _with_variables(carrier, preexec_fn)
            inherited = self.copy()
            inherited.pop(os.fsencode(_TRACESTATE), None)
            inherited.update((os.fsencode(name), os.fsencode(value)) for name, value in carrier.items())
            return inherited, None
        return _merge(env, carrier), preexec_fn


def _merge(env: Mapping[Any, Any], carrier: Mapping[str, str]) -> Mapping[Any, Any]:
    try:
        variables = dict(env.items())
        names = {os.fsencode(name): name for name in variables}
    except (AttributeError, TypeError):
        return env  # it is not valid, and Popen raises the error
    if not variables:
        return env  # an empty environment was requested
    for name in carrier:
        given = names.get(os.fsencode(name))
        if given is not None and os.fsencode(variables[given]) != os.environb.get(os.fsencode(name)):
            return env  # set by the user; a value that equals the one in os.environ is only a stale copy
    for name in (*carrier, _TRACESTATE):
        variables.pop(names.get(os.fsencode(name)), None)
    return {**variables, **carrier}


def _with_variables(carrier: Mapping[str, str], preexec_fn: Callable[[], Any]) -> Callable[[], Any]:
    def preexec() -> Any:
        with suppress(Exception):
            unsetenv(_TRACESTATE)
            for name, value in carrier.items():
                putenv(name, value)
        return preexec_fn()

    return preexec
