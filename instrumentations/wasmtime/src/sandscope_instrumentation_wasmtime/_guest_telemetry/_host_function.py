"""Host functions that guests may import to emit telemetry, and the linkers that define them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from sandscope.instrumentation import new_lock
from sandscope_instrumentation_wasmtime._sites import TAG

_LINKER = f"{TAG}_linker"
"""An attribute of an engine: its `_DefinedLinker`."""


class HostFunction(NamedTuple):
    """A host function.

    Attributes:
        parameters: their wasm types, such as ``i32``.
        results: their wasm types.
        call: gets wasmtime's `Caller` and the arguments. It must not refer to a store: wasmtime would keep it alive.
    """

    parameters: tuple[str, ...]
    results: tuple[str, ...]
    call: Callable[..., int | None]


HostFunctions: TypeAlias = "Mapping[tuple[str, str], HostFunction]"
"""Host functions by the module and name of their import."""


class _DefinedLinker(NamedTuple):
    """A linker, and the host functions that it defines."""

    linker: Any
    functions: HostFunctions


_lock = new_lock()


def linker_with(functions: HostFunctions, engine: Any) -> Any:
    """Return the engine's linker that defines host functions; it can be used with any store.

    It is made once for each engine: older versions of wasmtime cannot register functions on two threads at a time.

    Args:
        functions: the host functions.
        engine: the engine, which keeps the linker.
    """
    from wasmtime import Linker

    with _lock:
        defined: _DefinedLinker | None = getattr(engine, _LINKER, None)
        if defined is None or defined.functions is not functions:
            defined = _DefinedLinker(Linker(engine), functions)
            del defined.linker.engine  # a reference cycle would keep the engine alive
            for name, function in functions.items():
                defined.linker.define_func(*name, _type(function), function.call, access_caller=True)
            setattr(engine, _LINKER, defined)
    return defined.linker


def _type(function: HostFunction) -> Any:
    from wasmtime import FuncType, ValType

    kinds = {str(kind): kind for kind in (ValType.i32(), ValType.i64(), ValType.f64())}
    parameters, results = (
        [kinds[each] for each in types] for types in (function.parameters, function.results)
    )
    return FuncType(parameters, results)
