"""What a module's binary says that wasmtime does not: whether it starts by itself, and what it hands on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sandscope.instrumentation import Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._names._name_section import read_number
from sandscope_instrumentation_wasmtime._probe._noting import PLACE

SECTIONS = "_sandscope_sections"
"""The attribute of a module that holds its `Sections`."""

_MAGIC = b"\0asm"
_EXPORTS, _START = 7, 8
_FUNCTION = 0


class Sections(NamedTuple):
    """What matters of a module's sections.

    Attributes:
        starts: instantiation runs a function of it.
        exported: the indices of exported functions; imported ones come first.
    """

    starts: bool
    exported: frozenset[int]


def patch(wasmtime: Any, patches: Patches) -> None:
    """Look at each module that is compiled; of one that was serialized, nothing is known."""

    def compiled(_: None, module: Any, engine: Any, wasm: Any) -> None:
        text = isinstance(wasm, str) or bytes(wasm[:4]) != _MAGIC
        setattr(module, SECTIONS, sections_of(wasmtime.wat2wasm(wasm) if text else wasm))

    patches.replace(wasmtime.Module, "__init__", after_success(PLACE, compiled))


def sections_of(binary: bytes | bytearray) -> Sections:
    """Return what is in a module that wasmtime has accepted."""
    starts, exported, position = False, frozenset[int](), 8
    while position < len(binary):
        section = binary[position]
        size, start = read_number(binary, position + 1)
        position = start + size
        if section == _START:
            starts = True
        elif section == _EXPORTS:
            exported = frozenset(_functions(binary, start))
    return Sections(starts, exported)


def _functions(binary: bytes | bytearray, position: int) -> Iterator[int]:
    count, position = read_number(binary, position)
    for _ in range(count):
        size, position = read_number(binary, position)
        kind = binary[position + size]
        index, position = read_number(binary, position + size + 1)
        if kind == _FUNCTION:
            yield index
