"""Which imports of a guest's module the probe can replace, or why it can replace none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sandscope.instrumentation import Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._names._source import MAGIC, read_number, sections
from sandscope_instrumentation_wasmtime._probe import _skip_reasons
from sandscope_instrumentation_wasmtime._probe._skip_reasons import PLACE
from sandscope_instrumentation_wasmtime._probe._wasi_functions import FUNCTIONS, WASI

_ATTRIBUTE = "_sandscope_probe_imports"
"""Of a module; keeps the answer."""

_EXPORT_SECTION, _START_SECTION = 7, 8
_FUNCTION = 0


class Imports(NamedTuple):
    """What a module imports.

    Attributes:
        names: of the functions that the probe replaces, each once.
        all: module and name of each import, in the module's order.
        may_start: it may have a start function: its binary is not known.
    """

    names: tuple[str, ...]
    all: tuple[tuple[str, str], ...]
    may_start: bool = False


def patch(wasmtime: Any, patches: Patches) -> None:
    """Inspect each module as it is compiled: wasmtime does not keep its binary."""

    def compiled(_: None, module: Any, _engine: Any, wasm: Any) -> None:
        is_text = isinstance(wasm, str) or bytes(wasm[:4]) != MAGIC
        binary = wasmtime.wat2wasm(wasm) if is_text else wasm
        setattr(module, _ATTRIBUTE, _inspect(wasmtime, module, binary))

    patches.replace(wasmtime.Module, "__init__", after_success(PLACE, compiled))


def probed_imports(wasmtime: Any, module: Any) -> Imports | str | None:
    """Return the imports of a module, a reason to skip it, or None if it imports nothing that is counted.

    Args:
        wasmtime: the package.
        module: a core module.
    """
    if not hasattr(module, _ATTRIBUTE):  # it was deserialized, or is older than the instrumentation
        setattr(module, _ATTRIBUTE, _inspect(wasmtime, module, None))
    found: Imports | str | None = getattr(module, _ATTRIBUTE)
    return found


def _inspect(wasmtime: Any, module: Any, binary: bytes | bytearray | None) -> Imports | str | None:
    imports = tuple((each.module, each.name) for each in module.imports)
    names = tuple(dict.fromkeys(name for owner, name in imports if owner == WASI and name in FUNCTIONS))
    if not names:
        return None
    memory = {each.name: each.type for each in module.exports}.get("memory")
    if not _is_ordinary(wasmtime, memory):
        return _skip_reasons.NO_MEMORY
    if binary is None:
        # If it does start by itself, its first call of WASI traps, and it is started again without the probe.
        # That harms nobody unless it has called something else before.
        return (
            Imports(names, imports, may_start=True)
            if all(owner == WASI for owner, _ in imports)
            else _skip_reasons.UNKNOWN
        )
    functions = sum(isinstance(each.type, wasmtime.FuncType) for each in module.imports)
    for section, start, _ in sections(binary):
        if section == _START_SECTION:
            return _skip_reasons.STARTS
        if section == _EXPORT_SECTION and any(index < functions for index in _functions(binary, start)):
            return _skip_reasons.EXPORTS_IMPORT
    return Imports(names, imports)


def _is_ordinary(wasmtime: Any, memory: Any) -> bool:
    if not isinstance(memory, wasmtime.MemoryType):
        return False
    return not memory.is_64 and not memory.is_shared and getattr(memory, "page_size", 65536) == 65536


def _functions(binary: bytes | bytearray, position: int) -> Iterator[int]:
    """Yield the indices of the functions in an export section; those of imports come first."""
    count, position = read_number(binary, position)
    for _ in range(count):
        size, position = read_number(binary, position)
        kind = binary[position + size]
        index, position = read_number(binary, position + size + 1)
        if kind == _FUNCTION:
            yield index
