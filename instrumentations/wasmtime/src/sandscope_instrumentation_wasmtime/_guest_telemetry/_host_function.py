"""Host functions that guests may import to emit telemetry, and the linkers that have them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from sandscope_instrumentation_wasmtime._sites import TAG

_STOCK = f"{TAG}_stock"


class Offered(NamedTuple):
    """One function.

    Attributes:
        parameters: their wasm types, such as ``i32``.
        results: likewise.
        call: gets wasmtime's `Caller` and the arguments. It holds no store, which wasmtime would then keep.
    """

    parameters: tuple[str, ...]
    results: tuple[str, ...]
    call: Callable[..., int | None]


Offers: TypeAlias = "Mapping[tuple[str, str], Offered]"
"""By the module and name that guests import them by."""


class _Stock(NamedTuple):
    """A linker of ours, and what it has been filled with."""

    linker: Any
    offers: Offers


_lock = threading.RLock()  # a finaliser may instantiate, too


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 -- another thread may have held it, and is not in the child
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


def stock_of(engine: Any, offers: Offers) -> Any:
    """Return an engine's linker that has all of the functions, for any store.

    It is made once, as older versions of wasmtime cannot register functions in two threads at a time.

    Args:
        engine: keeps it.
        offers: the functions.
    """
    from wasmtime import Linker

    with _lock:
        stock = getattr(engine, _STOCK, None)
        if stock is None or stock.offers is not offers:
            stock = _Stock(Linker(engine), offers)
            del stock.linker.engine  # a cycle would keep the engine
            for name, offered in offers.items():
                stock.linker.define_func(*name, _type(offered), offered.call, access_caller=True)
            setattr(engine, _STOCK, stock)
    return stock.linker


def _type(offered: Offered) -> Any:
    from wasmtime import FuncType, ValType

    kinds = {str(kind): kind for kind in (ValType.i32(), ValType.i64(), ValType.f64())}
    parameters, results = ([kinds[each] for each in types] for types in (offered.parameters, offered.results))
    return FuncType(parameters, results)
