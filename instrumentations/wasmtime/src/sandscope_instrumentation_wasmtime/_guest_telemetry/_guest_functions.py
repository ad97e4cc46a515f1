"""Define the host functions for guests' telemetry when a linker instantiates a module that imports them.

The program's linker is not changed, because other threads may be using it. If it lacks some of these functions, the
instantiation uses a new linker that has them and all other imports of the module, copied from the program's linker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any

from sandscope.instrumentation import GuestTelemetry, Patches, Refusal, report_error
from sandscope_instrumentation_wasmtime._guest_telemetry import _observe, _otel
from sandscope_instrumentation_wasmtime._guest_telemetry._host_function import (
    HostFunction,
    HostFunctions,
    linker_with,
)
from sandscope_instrumentation_wasmtime._sites import TAG, Guest, guest_of

Name = tuple[str, str]


def patch(wasmtime: Any, patches: Patches, guest: GuestTelemetry) -> None:
    """Define the functions. This has to be the last patch, so that all others get the complete linker.

    Args:
        wasmtime: the module.
        patches: records the replaced methods.
        guest: gets the telemetry that guests emit.
    """
    functions = {
        name: function._replace(call=_until_undone(patches, function))
        for name, function in {**_otel.functions(guest), **_observe.functions(guest)}.items()
    }
    patches.replace(wasmtime.Linker, "instantiate", _with_functions(functions))


def _until_undone(patches: Patches, function: HostFunction) -> Callable[..., int | None]:
    """Return a call that does nothing after uninstrumentation: a guest may keep calling the function."""

    def call(*args: Any) -> int | None:
        if patches.undone:
            return int(Refusal.OFF) if function.results else None
        return function.call(*args)

    return call


def _with_functions(functions: HostFunctions) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        @wraps(original)
        def instantiate(self: Any, *args: Any, **kwargs: Any) -> Any:
            linker = self
            usual = len(args) == 2 and not kwargs
            try:
                if not usual or not _imports_none(args[1]):
                    linker = _complete(functions, self, *args, **kwargs)
            except ValueError:  # linker, store or module is closed: wasmtime raises its own error
                pass
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("wasmtime.guest", error)
            return original(linker, args[0], args[1]) if usual else original(linker, *args, **kwargs)

        return instantiate

    return wrap


def _imports_none(module: Any) -> bool:
    """Return whether a module is known to import no host function for telemetry, as most do."""
    guest = getattr(module, TAG, None)
    return isinstance(guest, Guest) and guest.telemetry_imports == ()


def _complete(
    functions: HostFunctions, linker: Any, store: Any = None, module: Any = None, *_: Any, **__: Any
) -> Any:
    """Return a linker with all imports of a module; the program's linker if it lacks none of the functions."""
    from wasmtime import Linker, Module, Store

    if not (isinstance(store, Store) and isinstance(module, Module) and store.engine is linker.engine):
        return (
            linker  # wasmtime raises its own error; linking items of another engine would abort the process
        )
    imported = _imported(module, functions)
    missing = set(imported).difference(_defined(linker, store, imported))
    if not missing:
        return linker
    names = {(each.module, each.name or "") for each in module.imports}
    items = _defined(linker, store, names - missing)
    provider = linker_with(functions, linker.engine)
    items.update((name, provider.get(store, *name)) for name in missing)
    if len({_store_id(item) for item in items.values()} - {None}) > 1:
        return linker  # linking items of another store would abort the process, too
    complete = Linker(linker.engine)
    for name, item in items.items():
        complete.define(store, *name, item)
    vars(complete).update({name: value for name, value in vars(linker).items() if name.startswith(TAG)})
    return complete


def _imported(module: Any, functions: HostFunctions) -> Sequence[Name]:
    """Return which of the functions a module imports with the right type."""
    guest = guest_of(module)
    if guest.telemetry_imports is None:
        imports = {(each.module, each.name or ""): each.type for each in module.imports}
        guest.telemetry_imports = tuple(
            name for name, type_ in imports.items() if _has_type(type_, functions.get(name))
        )
    return guest.telemetry_imports


def _has_type(type_: Any, function: HostFunction | None) -> bool:
    from wasmtime import FuncType

    if function is None or not isinstance(type_, FuncType):
        return False
    types = (tuple(map(str, type_.params)), tuple(map(str, type_.results)))
    return types == (function.parameters, function.results)


def _defined(linker: Any, store: Any, names: Iterable[Name]) -> dict[Name, Any]:
    """Return the items that a linker defines under some names."""
    from wasmtime import WasmtimeError

    items = {}
    for name in names:
        with suppress(WasmtimeError):  # it is not defined
            items[name] = linker.get(store, *name)
    return items


def _store_id(item: Any) -> int | None:
    """Return the engine's number of the store that an item belongs to; None for shared memory."""
    from wasmtime import SharedMemory

    return None if isinstance(item, SharedMemory) else item._as_extern().of.func.store_id
