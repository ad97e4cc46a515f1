"""Carries names from where wasmtime knows them to the functions that are called.

A module gets its name when it is compiled (`_instances`), hands it to its instances, and these to their functions.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from sandscope.instrumentation import Patches, Site
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._names._compiled_name import compiled_name
from sandscope_instrumentation_wasmtime._names._references import Tag
from sandscope_instrumentation_wasmtime._sites import TAG, UNNAMED, Guest, call_site, guest_of, instantiated


def patch_module(wasmtime: Any, patches: Patches) -> None:
    """Carry the names of core modules."""
    exports = wasmtime._instance.InstanceExports
    if not wasmtime.__spec__._initializing:
        _name_older(exports, wasmtime.Func)
    patches.add(wasmtime.Func, TAG, Tag())
    _patch_source(wasmtime.Module, patches)
    patches.replace(wasmtime.Linker, "define_module", _then(_module_defined))
    patches.replace(wasmtime.Linker, "define_instance", _then(_instance_defined))
    patches.replace(wasmtime.Linker, "get", _then(_got))
    patches.replace(wasmtime.Linker, "get_default", _then(_got_default))
    patches.replace(wasmtime.Caller, "get", _then(_got_by_caller))


def patch_component(component: Any, patches: Patches) -> None:
    """Carry the names of components."""
    _patch_source(component.Component, patches)
    patches.replace(component.Component, "get_export_index", _then(_index_of_component))
    patches.replace(component.Instance, "get_export_index", _then(_index_of_instance))
    patches.replace(component.Instance, "get_func", _then(_got_of_component))


def _patch_source(source: Any, patches: Patches) -> None:
    patches.replace(source, "from_file", _then(_read))
    patches.replace(source, "deserialize", _then(_deserialized))
    patches.replace(source, "deserialize_file", _then(_deserialized_from_file))


def _then(note: Callable[..., None]) -> Callable[[Any], Any]:
    return after_success("wasmtime.names", note)


# Each of the following has the arguments of the method that it follows, after that method's result.


def _read(module: Any, _cls: Any, engine: Any, path: Any) -> None:
    guest = guest_of(module)
    guest.name = guest.name or Path(os.fsdecode(path)).stem


def _deserialized(module: Any, _cls: Any, engine: Any, encoded: Any) -> None:
    guest_of(module).name = compiled_name(BytesIO(encoded))


def _deserialized_from_file(module: Any, _cls: Any, engine: Any, path: Any) -> None:
    file, name = Path(os.fsdecode(path)), None
    with suppress(OSError), file.open("rb") as image:  # it may be gone: wasmtime has read it
        name = compiled_name(image)
    guest_of(module).name = name or file.stem


def _name_older(exports: type, func: type) -> None:
    """Name the functions of instances that were made before: they know at least their own names."""
    for thing in gc.get_objects():
        if type(thing) is exports and hasattr(thing, "_extern_map"):
            guest = Guest(None)
            for name, export in thing._extern_map.items():
                if isinstance(export, func):
                    setattr(export, TAG, guest.site(name))


def _module_defined(_: None, linker: Any, store: Any, name: str, module: Any) -> None:
    _guests_of(linker)[name] = instantiated(module)


def _instance_defined(_: None, linker: Any, store: Any, name: str, instance: Any) -> None:
    _guests_of(linker)[name] = guest_of(instance)


def _guests_of(linker: Any) -> dict[str, Guest]:
    """Return the guests that a linker knows by name."""
    guests: dict[str, Guest] | None = getattr(linker, TAG, None)
    if guests is None:
        guests = {}
        setattr(linker, TAG, guests)
    return guests


def _got(export: Any, linker: Any, store: Any, module: str, name: str) -> None:
    _tag_found(export, linker, module, name)


def _got_default(function: Any, linker: Any, store: Any, name: str) -> None:
    guest = _guests_of(linker).get(name)
    default = None if guest is None or guest.traits is None else guest.traits.default
    _tag_found(function, linker, name, default)


def _tag_found(export: Any, linker: Any, module: str, name: str | None) -> None:
    import wasmtime

    if isinstance(export, wasmtime.Func):
        guest = _guests_of(linker).get(module)
        site = guest.site(name) if guest is not None and guest.name else _site_of_names(module, name)
        setattr(export, TAG, site)


def _got_by_caller(export: Any, _caller: Any, name: str) -> None:
    import wasmtime

    if isinstance(export, wasmtime.Func) and getattr(export, TAG) is UNNAMED:
        setattr(export, TAG, _site_of_names(None, name))


@lru_cache(1024)
def _site_of_names(module: str | None, name: str | None) -> Site:
    """Return the site of a function of which only names are known."""
    return call_site(module, name)


def _index_of_component(index: Any, _component: Any, name: str, instance: Any = None) -> None:
    if index is not None:
        outer = getattr(instance, TAG, None)
        setattr(index, TAG, f"{outer}#{name}" if outer else name)


def _index_of_instance(index: Any, _instance: Any, store: Any, name: str, instance: Any = None) -> None:
    _index_of_component(index, _instance, name, instance)


def _got_of_component(function: Any, owner: Any, store: Any, index: Any) -> None:
    if function is not None:
        name = index if isinstance(index, str) else getattr(index, TAG, None)
        setattr(function, TAG, guest_of(owner).site(name))
