"""What a module's type says of its functions."""

from __future__ import annotations

from typing import Any, NamedTuple

_DEFAULT = "_start"


class Traits(NamedTuple):
    """What is known of a module's functions before one is called.

    Attributes:
        isolated: they can call no function of the host's: none comes by import, table, global or argument.
        default: the export that `wasmtime.Linker.get_default` finds, if it has a name.
    """

    isolated: bool
    default: str | None


def traits_of(module: Any) -> Traits:
    """Return the traits of a core module; it takes a look at each export."""
    try:
        return _traits_of(module)
    except Exception:  # noqa: BLE001 -- a type that wasmtime's Python does not know yet
        return Traits(isolated=False, default=None)


def _traits_of(module: Any) -> Traits:
    from wasmtime import FuncType, GlobalType, TableType, ValType

    numbers = {str(kind) for kind in (ValType.i32(), ValType.i64(), ValType.f32(), ValType.f64())}

    def holds_references(kind: Any) -> bool:
        if isinstance(kind, FuncType):
            return any(str(each) not in numbers for each in (*kind.params, *kind.results))
        if isinstance(kind, GlobalType):
            return str(kind.content) not in numbers
        return isinstance(kind, TableType)

    types = {export.name: export.type for export in module.exports}
    isolated = not module.imports and not any(holds_references(kind) for kind in types.values())
    starts = isinstance(types.get(_DEFAULT), FuncType) and not isinstance(types.get(""), FuncType)
    return Traits(isolated, _DEFAULT if starts else None)
