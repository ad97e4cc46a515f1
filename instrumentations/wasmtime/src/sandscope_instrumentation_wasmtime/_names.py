"""Carries names from where wasmtime knows them to the functions that are called.

A module gets its name when it is compiled, hands it to its instances, and these to their functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from sandscope import Patches, report_error
from sandscope_instrumentation_wasmtime._name_section import guest_name
from sandscope_instrumentation_wasmtime._site import TAG, Guest, call_site, guest_of


def patch_module(wasmtime: Any, patches: Patches) -> None:
    """Carry the names of core modules."""
    exports = wasmtime._instance.InstanceExports
    _patch_source(wasmtime.Module, patches)
    patches.replace(wasmtime.Instance, "__init__", _then(_instance_made))
    patches.replace(wasmtime.Linker, "instantiate", _then(_linked))
    patches.replace(wasmtime.Linker, "instantiate_pre", _then(_prepared))
    if hasattr(wasmtime, "InstancePre"):
        patches.replace(wasmtime.InstancePre, "instantiate", _then(_prepared_linked))
    patches.replace(exports, "__init__", _then(_exported))
    patches.replace(wasmtime.Linker, "get", _then(_got))
    patches.replace(wasmtime.Linker, "get_default", _then(_got_default))
    patches.replace(wasmtime.Caller, "get", _then(_got_by_caller))


def patch_component(component: Any, patches: Patches) -> None:
    """Carry the names of components."""
    _patch_source(component.Component, patches)
    patches.replace(component.Component, "get_export_index", _then(_index_of_component))
    patches.replace(component.Linker, "instantiate", _then(_linked))
    patches.replace(component.Instance, "get_export_index", _then(_index_of_instance))
    patches.replace(component.Instance, "get_func", _then(_got_of_component))


def _patch_source(source: Any, patches: Patches) -> None:
    patches.replace(source, "__init__", _then(_compiled))
    patches.replace(source, "from_file", _then(_read))
    patches.replace(source, "deserialize", _then(_deserialized))
    patches.replace(source, "deserialize_file", _then(_read))


def _then(note: Callable[..., None]) -> Callable[[Any], Any]:
    """Return what wraps a method so that ``note(result, self, *args, **kwargs)`` follows its success."""

    def wrap(original: Any) -> Any:
        plain = original.__func__ if isinstance(original, classmethod) else original

        @wraps(plain)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = plain(self, *args, **kwargs)
            try:
                note(result, self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("wasmtime.names", error)
            return result

        return classmethod(method) if isinstance(original, classmethod) else method

    return wrap


# Each of the following has the arguments of the method that it follows, after that method's result.


def _compiled(_: None, module: Any, engine: Any, wasm: Any) -> None:
    setattr(module, TAG, Guest(guest_name(wasm)))


def _read(module: Any, _cls: Any, engine: Any, path: Any) -> None:
    guest = guest_of(module)
    guest.name = guest.name or Path(os.fsdecode(path)).stem


def _deserialized(module: Any, _cls: Any, engine: Any, encoded: Any) -> None:
    guest_of(module)


def _instance_made(_: None, instance: Any, store: Any, module: Any, imports: Any) -> None:
    setattr(instance, TAG, _instantiated(module))


def _linked(instance: Any, _linker: Any, store: Any, module: Any = None, component: Any = None) -> None:
    setattr(instance, TAG, guest_of(component) if module is None else _instantiated(module))


def _prepared(prepared: Any, _linker: Any, module: Any) -> None:
    setattr(prepared, TAG, _instantiated(module))


def _prepared_linked(instance: Any, prepared: Any, store: Any) -> None:
    setattr(instance, TAG, guest_of(prepared))


def _instantiated(module: Any) -> Guest:
    guest = guest_of(module)
    if guest.isolated is None:
        guest.isolated = _is_isolated(module)
    return guest


def _is_isolated(module: Any) -> bool:
    """Return whether it is a module that gets no function of the host's: by import, table or argument."""
    from wasmtime import FuncType, Module, TableType, ValType

    if not isinstance(module, Module) or module.imports:
        return False
    numbers = {str(kind) for kind in (ValType.i32(), ValType.i64(), ValType.f32(), ValType.f64())}
    types = [export.type for export in module.exports]
    return not any(
        isinstance(kind, TableType)
        or (isinstance(kind, FuncType) and any(str(param) not in numbers for param in kind.params))
        for kind in types
    )


def _exported(_: None, exports: Any, store: Any, instance: Any) -> None:
    from wasmtime import Func

    guest = guest_of(instance)
    for name, export in exports.items():
        if isinstance(export, Func):
            setattr(export, TAG, guest.site(name))


def _got(export: Any, _linker: Any, store: Any, module: str, name: str) -> None:
    _tag_found(export, module, name)


def _got_default(function: Any, _linker: Any, store: Any, name: str) -> None:
    _tag_found(function, name, None)


def _got_by_caller(export: Any, _caller: Any, name: str) -> None:
    _tag_found(export, None, name)


def _tag_found(export: Any, module: str | None, name: str | None) -> None:
    from wasmtime import Func

    if isinstance(export, Func):
        setattr(export, TAG, call_site(module, name))


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
