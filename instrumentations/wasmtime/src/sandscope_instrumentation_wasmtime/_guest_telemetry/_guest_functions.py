"""The way out of a guest: host functions for its telemetry, where its module asks for them.

They are offered at `wasmtime.Linker.instantiate` to a module that imports them from a linker without them.
The program's linker stays as it is; other threads may be using it. For this one instantiation there is a linker
of our own, with the rest of what the module imports taken out of the program's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any

from sandscope.instrumentation import GuestTelemetry, Patches, Refusal, report_error
from sandscope_instrumentation_wasmtime._guest_telemetry import _observe, _otel
from sandscope_instrumentation_wasmtime._guest_telemetry._host_function import Offered, Offers, stock_of
from sandscope_instrumentation_wasmtime._sites import TAG, guest_of

Name = tuple[str, str]


def patch(wasmtime: Any, patches: Patches, guest: GuestTelemetry) -> None:
    """Offer the functions. To be the last patch, so that all others see a linker that is complete.

    Args:
        wasmtime: the module.
        patches: takes what is replaced.
        guest: takes what guests emit.
    """
    functions = {**_otel.functions(guest), **_observe.functions(guest)}
    offers = {name: offered._replace(call=_until(patches, offered)) for name, offered in functions.items()}
    patches.replace(wasmtime.Linker, "instantiate", _offering(offers))


def _until(patches: Patches, offered: Offered) -> Callable[..., int | None]:
    """Return the function, which a guest may call for ever, so that it does nothing once patches are undone."""

    def call(*args: Any) -> int | None:
        if patches.undone:
            return int(Refusal.OFF) if offered.results else None
        return offered.call(*args)

    return call


def _offering(offers: Offers) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        @wraps(original)
        def instantiate(self: Any, *args: Any, **kwargs: Any) -> Any:
            linker = self
            try:
                linker = _complete(offers, self, *args, **kwargs)
            except ValueError:  # something is closed: wasmtime says so
                pass
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("wasmtime.guest", error)
            return original(linker, *args, **kwargs)

        return instantiate

    return wrap


def _complete(offers: Offers, linker: Any, store: Any = None, module: Any = None, *_: Any, **__: Any) -> Any:
    """Return a linker that has all that the module imports; the program's own where it needs nothing of ours."""
    from wasmtime import Linker, Module, Store

    if not (isinstance(store, Store) and isinstance(module, Module) and store.engine is linker.engine):
        return linker  # wasmtime says what is wrong; to link the items of another engine, it would abort
    wanted = _wanted(module, offers)
    missing = set(wanted).difference(_found(linker, store, wanted))
    if not missing:
        return linker
    names = {(each.module, each.name or "") for each in module.imports}
    found = _found(linker, store, names - missing)
    stock = stock_of(linker.engine, offers)
    found.update((name, stock.get(store, *name)) for name in missing)
    if len({_owner(item) for item in found.values()} - {None}) > 1:
        return linker  # nor would it survive items of another store
    own = Linker(linker.engine)
    for name, item in found.items():
        own.define(store, *name, item)
    vars(own).update({name: value for name, value in vars(linker).items() if name.startswith(TAG)})
    return own


def _wanted(module: Any, offers: Offers) -> Sequence[Name]:
    """Return which of the functions a module imports, with just these types."""
    guest = guest_of(module)
    if guest.wanted is None:
        imports = {(each.module, each.name or ""): each.type for each in module.imports}
        guest.wanted = tuple(name for name, type_ in imports.items() if _fits(type_, offers.get(name)))
    return guest.wanted


def _fits(type_: Any, offered: Offered | None) -> bool:
    from wasmtime import FuncType

    if offered is None or not isinstance(type_, FuncType):
        return False
    types = (tuple(map(str, type_.params)), tuple(map(str, type_.results)))
    return types == (offered.parameters, offered.results)


def _found(linker: Any, store: Any, names: Iterable[Name]) -> dict[Name, Any]:
    """Return what a linker has under some names."""
    from wasmtime import WasmtimeError

    found = {}
    for name in names:
        with suppress(WasmtimeError):  # it is not defined
            found[name] = linker.get(store, *name)
    return found


def _owner(item: Any) -> int | None:
    """Return the engine's id of the store that an item belongs to; None for memory that is shared."""
    from wasmtime import SharedMemory

    return None if isinstance(item, SharedMemory) else item._as_extern().of.func.store_id
