"""Propagate the trace context to WASI guests, by environment variables.

Variables can only be appended to a `WasiConfig`, and if two have the same name, the first counts. Therefore a
variable that the user set is never replaced, and the process's own trace context is omitted from what
``inherit_env`` passes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from opentelemetry.context import get_current

from sandscope.instrumentation import (
    Patches,
    environment_names,
    inject_environment,
    is_instrumentation_enabled,
    report_error,
)
from sandscope_instrumentation_wasmtime._sites import TAG

_Append = Callable[[Any, Iterable[tuple[str, str]]], None]


def patch(wasmtime: Any, patches: Patches) -> None:
    """Add the context that is current at ``Store.set_wasi`` to the guest's environment."""
    append = wasmtime.WasiConfig.env.fset
    patches.replace(wasmtime.WasiConfig, "env", _remember_names)
    patches.replace(wasmtime.WasiConfig, "inherit_env", _without_own_context(append))
    patches.replace(wasmtime.Store, "set_wasi", _propagating(append))


class _Variables:
    """What is known of the environment of a configuration, which cannot be read back.

    Attributes:
        set_by_user: the names of variables that the user set.
        omitted: variables with the process's own trace context that were not inherited.
    """

    __slots__ = ("omitted", "set_by_user")

    def __init__(self) -> None:
        self.set_by_user: set[str] = set()
        self.omitted: dict[str, str] = {}


def _variables(config: Any) -> _Variables:
    variables = getattr(config, TAG, None)
    if variables is None:
        variables = _Variables()
        setattr(config, TAG, variables)
    return variables


def _remember_names(original: property) -> property:
    def set_env(self: Any, pairs: Any) -> None:
        names = []

        def remembered() -> Iterator[tuple[Any, Any]]:  # the user's pairs may be readable only once
            for name, value in pairs:
                names.append(name)
                yield name, value

        original.fset(self, remembered())  # type: ignore[misc] # wasmtime's properties can be set
        _variables(self).set_by_user.update(names)

    return original.setter(set_env)


def _without_own_context(append: _Append) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        @wraps(original)
        def inherit_env(self: Any) -> Any:
            own = {name: os.environ[name] for name in environment_names() if name in os.environ}
            if not own or not is_instrumentation_enabled():
                return original(self)
            try:
                append(self, [(name, value) for name, value in os.environ.items() if name not in own])
            except (
                UnicodeEncodeError
            ):  # nothing was appended; wasmtime's own method may handle such variables
                return original(self)
            _variables(self).omitted.update(own)
            return None

        return inherit_env

    return wrap


def _propagating(append: _Append) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        @wraps(original)
        def set_wasi(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                _propagate(append, self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("wasmtime.wasi", error)
            return original(self, *args, **kwargs)

        return set_wasi

    return wrap


def _propagate(append: _Append, store: Any, wasi: Any = None) -> None:
    try:
        store._context()
        wasi.ptr()
    except (AttributeError, ValueError):
        return  # the store is closed, or the configuration invalid or already used: wasmtime raises its own error
    variables = _variables(wasi)
    environment: dict[str, str] = {}
    if is_instrumentation_enabled() and variables.set_by_user.isdisjoint(environment_names()):
        inject_environment(environment, get_current())
    if not environment:  # as without instrumentation
        omitted = variables.omitted.items()
        environment = {name: value for name, value in omitted if name not in variables.set_by_user}
    if environment:
        append(wasi, environment.items())
