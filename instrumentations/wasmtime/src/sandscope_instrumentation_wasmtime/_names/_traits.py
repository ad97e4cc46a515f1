"""What a module's type says of its functions."""

from __future__ import annotations

from typing import Any, NamedTuple

_DEFAULT = "_start"


class Traits(NamedTuple):
    """What is known of a module's functions before one is called.

    Attributes:
        isolated: they can call no function of the host's: none comes by import, table, global or argument.
        default: the export that `wasmtime.Linker.get_default` finds, if it has a name.
        own_memories: it imports none, so all that it exports are as its type says.
    """

    isolated: bool
    default: str | None
    own_memories: bool


def traits_of(module: Any) -> Traits:
    """Return the traits of a core module; looks at each import and export."""
    try:
        return _traits_of(module)
    except Exception:  # noqa: BLE001 -- a type that wasmtime's Python does not know yet
        return Traits(isolated=False, default=None, own_memories=False)


def _traits_of(module: Any) -> Traits:
    from wasmtime import FuncType, GlobalType, MemoryType, TableType, ValType

    numbers = {str(kind) for kind in (ValType.i32(), ValType.i64(), ValType.f32(), ValType.f64())}

    def holds_references(kind: Any) -> bool:
        if isinstance(kind, FuncType):
            return any(str(each) not in numbers for each in (*kind.params, *kind.results))
        if isinstance(kind, GlobalType):
            return str(kind.content) not in numbers
        return isinstance(kind, TableType)

    types = {export.name: export.type for export in module.exports}
    imports = [each.type for each in module.imports]
    isolated = not imports and not any(holds_references(kind) for kind in types.values())
    starts = isinstance(types.get(_DEFAULT), FuncType) and not isinstance(types.get(""), FuncType)
    own_memories = not any(isinstance(each, MemoryType) for each in imports)
    return Traits(isolated, _DEFAULT if starts else None, own_memories)
