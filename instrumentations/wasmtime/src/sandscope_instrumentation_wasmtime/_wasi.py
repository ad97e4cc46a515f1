"""The way into a WASI guest: the current trace context in its environment.

`WasiConfig` can only be added to, and the first of two variables with one name wins. So a variable that
the user set stays as it is, and a stale one of this process is left out where the user inherits all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from sandscope.instrumentation import Patches, environment_names, inject_environment, report_error
from sandscope_instrumentation_wasmtime._sites import TAG

_Append = Callable[[Any, Iterable[tuple[str, str]]], None]


def patch(wasmtime: Any, patches: Patches) -> None:
    """Put the context that is current at ``Store.set_wasi`` into the guest's environment."""
    append = wasmtime.WasiConfig.env.fset
    patches.replace(wasmtime.WasiConfig, "env", _noting)
    patches.replace(wasmtime.WasiConfig, "inherit_env", _without_stale(append))
    patches.replace(wasmtime.Store, "set_wasi", _carrying(append))


class _Variables:
    """What is known of a configuration's environment, which cannot be read back.

    Attributes:
        user: names that the user set.
        stale: this process's own trace context, left out of what was inherited.
    """

    __slots__ = ("stale", "user")

    def __init__(self) -> None:
        self.user: set[str] = set()
        self.stale: dict[str, str] = {}


def _variables(config: Any) -> _Variables:
    variables = getattr(config, TAG, None)
    if variables is None:
        variables = _Variables()
        setattr(config, TAG, variables)
    return variables


def _noting(original: property) -> property:
    def set_env(self: Any, pairs: Any) -> None:
        names = []

        def noted() -> Iterator[tuple[Any, Any]]:
            for name, value in pairs:
                names.append(name)
                yield name, value

        original.fset(self, noted())  # type: ignore[misc] # wasmtime's properties can be set
        _variables(self).user.update(names)

    return original.setter(set_env)


def _without_stale(append: _Append) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        @wraps(original)
        def inherit_env(self: Any) -> Any:
            stale = {name: os.environ[name] for name in environment_names() if name in os.environ}
            if not stale or not is_instrumentation_enabled():
                return original(self)
            try:
                append(self, [(name, value) for name, value in os.environ.items() if name not in stale])
            except UnicodeEncodeError:  # not appended: what to do with it is wasmtime's own choice
                return original(self)
            _variables(self).stale.update(stale)
            return None

        return inherit_env

    return wrap


def _carrying(append: _Append) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        @wraps(original)
        def set_wasi(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                _carry(append, self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("wasmtime.wasi", error)
            return original(self, *args, **kwargs)

        return set_wasi

    return wrap


def _carry(append: _Append, store: Any, wasi: Any = None) -> None:
    try:
        store._context()
        wasi.ptr()
    except (AttributeError, ValueError):
        return  # closed, used up or no configuration at all: wasmtime says so
    variables = _variables(wasi)
    environment: dict[str, str] = {}
    if is_instrumentation_enabled() and variables.user.isdisjoint(environment_names()):
        inject_environment(environment, get_current())
    if not environment:
        environment = {name: value for name, value in variables.stale.items() if name not in variables.user}
    if environment:
        append(wasi, environment.items())
