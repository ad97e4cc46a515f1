"""Compiles the probe's modules past the engine's module cache, which is the program's.

An engine does not show its configuration. So what the program sets is remembered and set again for a second engine,
without the cache. It compiles the modules; the program's engine accepts them from an engine with the same settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sandscope.instrumentation import Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._probe._skip_reasons import PLACE
from sandscope_instrumentation_wasmtime._probe._unpatched import Unpatched

_SETTINGS = "_sandscope_config"
"""The attribute of a configuration with what the program has set; then of its engine, if that needs a second one."""
_SECOND = "_sandscope_uncached"
"""The attribute of an engine that holds the second engine."""
_METHODS = ("cranelift_flag_enable", "cranelift_flag_set")
_NOT_REPEATED = {"cache", "profiler"}
_NEED_SECOND = {"cache", "consume_fuel", "epoch_interruption"}


class Setting(NamedTuple):
    """A property of a configuration that the program has set, or a method that it has called."""

    name: str
    is_property: bool
    arguments: tuple[Any, ...]


def patch(wasmtime: Any, patches: Patches) -> None:
    """Remember what programs set."""
    for name, member in list(vars(wasmtime.Config).items()):
        if isinstance(member, property) or name in _METHODS:
            remember = after_success(PLACE, _remembering(name, is_property=isinstance(member, property)))
            patches.replace(wasmtime.Config, name, remember)
    patches.replace(wasmtime.Engine, "__init__", after_success(PLACE, _made))


def compile_uncached(unpatched: Unpatched, engine: Any, text: str) -> Any:
    """Return a module of an engine, without a file in the engine's cache.

    Raises:
        WasmtimeError: if the engine's configuration does not allow the module.
    """
    settings = settings_of(engine)
    if not settings:
        return unpatched.module(engine, text)
    second = getattr(engine, _SECOND, None)
    if second is None:
        second = engine_with(unpatched.wasmtime, settings)
        setattr(engine, _SECOND, second)
    return unpatched.deserialized(engine, unpatched.module(second, text).serialize())


def settings_of(engine: Any) -> list[Setting]:
    """Return what the program has set for an engine that has a cache, counts fuel or checks epochs; else nothing."""
    settings: list[Setting] = getattr(engine, _SETTINGS, [])
    return settings


def engine_with(wasmtime: Any, settings: list[Setting], **others: Any) -> Any:
    """Return a new engine without a cache.

    Args:
        wasmtime: the package.
        settings: what is set.
        others: properties that are set in place of the settings.
    """
    config = wasmtime.Config()
    for name, is_property, arguments in settings:
        if name in _NOT_REPEATED:
            continue
        if is_property:
            setattr(config, name, *arguments)
        else:
            getattr(config, name)(*arguments)
    for name, value in others.items():
        setattr(config, name, value)
    return wasmtime.Engine(config)


def _remembering(name: str, *, is_property: bool) -> Callable[..., None]:
    def remember(_: None, config: Any, *arguments: Any) -> None:
        config.__dict__.setdefault(_SETTINGS, []).append(Setting(name, is_property, arguments))

    return remember


def _made(_: None, engine: Any, config: Any = None) -> None:
    settings: list[Setting] = getattr(config, _SETTINGS, [])
    if any(setting.name in _NEED_SECOND for setting in settings):
        setattr(engine, _SETTINGS, settings)
