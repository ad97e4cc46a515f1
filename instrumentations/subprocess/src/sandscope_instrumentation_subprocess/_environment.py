"""The trace context in a child's environment, with everything else as the child would have it."""

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
_ENV_LIST = 5  # among the arguments of `_fork_exec`, in all versions that have it


class _Handed(threading.local):
    carrier: Mapping[str, str] | None = None


class Environment:
    """The environment that a child inherits.

    ``os.environ`` does not show what a program sets by ``os.putenv``; children have it all the same.
    """

    def __init__(self, *, handing: bool = False) -> None:
        """Know nothing yet.

        Args:
            handing: whether there is a `_fork_exec` that takes what is handed.
        """
        self.handing = handing
        self._put: dict[bytes, bytes | None] = {}
        self._handed = _Handed()
        # All changes come through the functions below: `os.environ` makes its own by them, too.
        self._changed = object()
        self._encoded: tuple[Any, list[bytes]] = None, []

    def putenv(self, original: Callable[..., None]) -> Callable[..., None]:
        """Make a ``putenv`` that is remembered."""

        def putenv(name: Any, value: Any, /) -> None:
            original(name, value)
            self._put[os.fsencode(name)] = os.fsencode(value)
            self._changed = object()

        return putenv

    def unsetenv(self, original: Callable[..., None]) -> Callable[..., None]:
        """Make an ``unsetenv`` that is remembered."""

        def unsetenv(name: Any, /) -> None:
            original(name)
            self._put[os.fsencode(name)] = None
            self._changed = object()

        return unsetenv

    def copy(self) -> dict[bytes, bytes]:
        """Return a copy; bytes, as nothing has to be decoded."""
        # What is inside `environb` are such bytes; going through its front door costs a hundred times as much.
        inside = getattr(os.environb, "_data", None)
        variables = inside.copy() if type(inside) is dict else dict(os.environb)
        for name, value in self._put.copy().items():
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
        return variables

    def hand(self, parent: Context) -> None:
        """Let this thread's next `_fork_exec` put a trace context into the environment that it inherits."""
        carrier: dict[str, str] = {}
        inject_environment(carrier, parent)
        self._handed.carrier = carrier

    def withdraw(self) -> None:
        """Forget what was handed."""
        self._handed.carrier = None

    def fork_exec(self, original: Callable[..., int]) -> Callable[..., int]:
        """Make a ``_fork_exec`` that takes what was handed; ``Popen`` itself would encode all, each time."""

        @functools.wraps(original)
        def _fork_exec(*args: Any) -> int:
            carrier = self._handed.carrier
            if carrier and args[_ENV_LIST] is None:
                try:
                    args = (*args[:_ENV_LIST], self._entries(carrier), *args[_ENV_LIST + 1 :])
                except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                    report_error("subprocess.environment", error)
            return original(*args)

        return _fork_exec

    def _entries(self, carrier: Mapping[str, str]) -> list[bytes]:
        state = self._changed, *carrier
        known, entries = self._encoded
        if state != known:
            left_out = {os.fsencode(name) for name in (_TRACESTATE, *carrier)}
            variables = self.copy().items()
            entries = [b"%b=%b" % variable for variable in variables if variable[0] not in left_out]
            self._encoded = state, entries
        return [*entries, *[os.fsencode(f"{name}={value}") for name, value in carrier.items()]]

    def with_context(self, env: Any, preexec_fn: _Preexec, parent: Context) -> tuple[Any, _Preexec]:
        """Return ``env`` and ``preexec_fn`` for a child that continues a trace.

        Args:
            env: as given to ``Popen``; never changed.
            preexec_fn: as given to ``Popen``.
            parent: the context that the child continues.
        """
        carrier: dict[str, str] = {}
        inject_environment(carrier, parent)
        if not carrier:
            return env, preexec_fn
        if env is None:
            if preexec_fn is not None:
                # With an environment of ours, what preexec_fn puts into its own would be lost.
                return None, _putting(carrier, preexec_fn)
            inherited = self.copy()
            inherited.pop(os.fsencode(_TRACESTATE), None)
            inherited.update((os.fsencode(name), os.fsencode(value)) for name, value in carrier.items())
            return inherited, None
        return _added(env, carrier), preexec_fn


def _added(env: Mapping[Any, Any], carrier: Mapping[str, str]) -> Mapping[Any, Any]:
    try:
        variables = dict(env.items())
        names = {os.fsencode(name): name for name in variables}
    except (AttributeError, TypeError):
        return env  # Popen says what is wrong with it
    if not variables:
        return env  # who asks for an empty environment gets an empty one
    for name in carrier:
        given = names.get(os.fsencode(name))
        if given is not None and os.fsencode(variables[given]) != os.environb.get(os.fsencode(name)):
            return env  # set by the user; one that was merely copied from os.environ is stale
    for name in (*carrier, _TRACESTATE):
        variables.pop(names.get(os.fsencode(name)), None)
    return {**variables, **carrier}


def _putting(carrier: Mapping[str, str], preexec_fn: Callable[[], Any]) -> Callable[[], Any]:
    def preexec() -> Any:
        with suppress(Exception):
            unsetenv(_TRACESTATE)
            for name, value in carrier.items():
                putenv(name, value)
        return preexec_fn()

    return preexec
