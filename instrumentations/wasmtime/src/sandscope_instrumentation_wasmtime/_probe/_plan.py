"""What the probe can do for a module: which functions it stands around, or why it does not."""

from __future__ import annotations

from typing import Any, NamedTuple

from sandscope_instrumentation_wasmtime._probe._binary import SECTIONS, Sections
from sandscope_instrumentation_wasmtime._probe._syscalls import SYSCALLS, WASI

_ATTRIBUTE = "_sandscope_plan"

ODD_TYPE = "it imports a WASI function with another type"
FOREIGN_MEMORY = "its memory is not its own"
NO_MEMORY = "it exports no memory"
OTHER_MEMORY = "its memory is shared, or has 64-bit addresses or pages of another size"
STARTS = "it starts as it is instantiated"
HANDS_ON = "it exports a function that it imports"
SERIALIZED = "it was serialized, so that nobody knows whether it starts as it is instantiated"


class Plan(NamedTuple):
    """How to stand around a module's imports.

    Attributes:
        names: of the functions, each once.
        imports: module and name of all that it imports, in its own order.
    """

    names: tuple[str, ...]
    imports: tuple[tuple[str, str], ...]


def plan_of(wasmtime: Any, module: Any) -> Plan | str | None:
    """Return the plan for a module, or why there is none; None if it asks for nothing that is probed.

    Args:
        wasmtime: the package.
        module: a core module, which keeps the answer.
    """
    if not hasattr(module, _ATTRIBUTE):
        setattr(module, _ATTRIBUTE, _plan(wasmtime, module))
    plan: Plan | str | None = getattr(module, _ATTRIBUTE)
    return plan


def _plan(wasmtime: Any, module: Any) -> Plan | str | None:
    imports = tuple((each.module, each.name) for each in module.imports)
    names = dict.fromkeys(name for owner, name in imports if owner == WASI and name in SYSCALLS)
    if not names:
        return None
    return _obstacle(wasmtime, module, imports) or Plan(tuple(names), imports)


def _obstacle(wasmtime: Any, module: Any, imports: tuple[tuple[str, str], ...]) -> str | None:
    types = [each.type for each in module.imports]
    probed = [(name, kind) for (owner, name), kind in zip(imports, types, strict=True) if owner == WASI]
    if not all(_is_usual(wasmtime, name, kind) for name, kind in probed if name in SYSCALLS):
        return ODD_TYPE
    if any(isinstance(kind, wasmtime.MemoryType) for kind in types):
        return FOREIGN_MEMORY
    functions = sum(isinstance(kind, wasmtime.FuncType) for kind in types)
    return _memory(wasmtime, module) or _sections(module, functions, only_wasi=len(probed) == len(imports))


def _memory(wasmtime: Any, module: Any) -> str | None:
    memory = {each.name: each.type for each in module.exports}.get("memory")
    if not isinstance(memory, wasmtime.MemoryType):
        return NO_MEMORY
    usual = not memory.is_64 and not memory.is_shared and getattr(memory, "page_size", 65536) == 65536
    return None if usual else OTHER_MEMORY


def _sections(module: Any, functions: int, *, only_wasi: bool) -> str | None:
    sections: Sections | None = getattr(module, SECTIONS, None)
    if sections is None:
        # A start function that does nothing but call WASI fails before it has done anything, and is started
        # again without the probe. What others would do, they would do twice.
        return None if only_wasi else SERIALIZED
    if sections.starts:
        return STARTS
    return HANDS_ON if any(index < functions for index in sections.exported) else None


def _is_usual(wasmtime: Any, name: str, kind: Any) -> bool:
    return (
        isinstance(kind, wasmtime.FuncType)
        and tuple(str(each) for each in kind.params) == SYSCALLS[name].parameters
        and [str(each) for each in kind.results] == ["i32"]
    )
