"""Whether an instantiation runs code of the guest: a module may have a start function."""

from __future__ import annotations

import re
from collections.abc import Callable

from sandscope_instrumentation_wasmtime._names._name_section import COMPONENT, MAGIC, sections

_START_SECTION = 8
_COMPONENT_START_SECTION = 9
_NESTED_SECTIONS = (1, 4)
"""Sections of a component that are a whole module or component."""
_TEXT = re.compile(r"\(\s*start\b")


def has_start_function(
    source: str | bytes | bytearray, to_binary: Callable[[str | bytes], bytearray]
) -> bool:
    """Return whether a module, or a module inside a component, has a start function.

    Args:
        source: the binary or the text form of what wasmtime has accepted.
        to_binary: converts the text form; called only if the word occurs in it.
    """
    if isinstance(source, str) or source[:4] != MAGIC:
        text = source if isinstance(source, str) else source.decode("utf-8", "replace")
        return _TEXT.search(text) is not None and _starts(memoryview(to_binary(text)))
    return _starts(memoryview(source))


def _starts(binary: memoryview) -> bool:
    if binary[4:8] != COMPONENT:
        return any(section == _START_SECTION for section, _, _ in sections(binary))
    return any(
        section == _COMPONENT_START_SECTION or (section in _NESTED_SECTIONS and _starts(binary[start:end]))
        for section, start, end in sections(binary)
    )
