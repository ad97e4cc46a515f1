"""Whether an instantiation runs code of the guest: a module may have a start function."""

from __future__ import annotations

import re

from sandscope_instrumentation_wasmtime._names._name_section import COMPONENT, MAGIC, sections

_START_SECTION = 8
_COMPONENT_START_SECTION = 9
_NESTED_SECTIONS = (1, 4)
"""Sections of a component that are a whole module or component."""
_TEXT = re.compile(r"\(\s*start\b")


def has_start_function(source: str | bytes | bytearray) -> bool:
    """Return whether a module, or a module inside a component, has a start function.

    Args:
        source: the binary or the text form of what wasmtime has accepted.
    """
    if isinstance(source, str) or source[:4] != MAGIC:
        text = source if isinstance(source, str) else source.decode("utf-8", "replace")
        return _TEXT.search(text) is not None and _starts(_binary_of(text))
    return _starts(source)


def _binary_of(text: str) -> bytearray:
    from wasmtime import wat2wasm

    return wat2wasm(text)


def _starts(binary: bytes | bytearray | memoryview) -> bool:
    if binary[4:8] == COMPONENT:
        return _component_starts(memoryview(binary))
    return _START_SECTION in [section for section, _, _ in sections(binary)]


def _component_starts(binary: memoryview) -> bool:
    return any(
        section == _COMPONENT_START_SECTION or (section in _NESTED_SECTIONS and _starts(binary[start:end]))
        for section, start, end in sections(binary)
    )
