"""What a guest's source tells: the name that its author gave it, and whether an instantiation runs its code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = b"\0asm"
_COMPONENT = b"\x0d\0\x01\0"
_CUSTOM, _START, _COMPONENT_START = 0, 8, 9
"""Numbers of sections."""
_NESTED = (1, 4)
"""Sections of a component that are a whole module or component."""
_NAMES, _COMPONENT_NAMES = b"\x04name", b"\x0ecomponent-name"
"""How the content of a section with names begins: with the length of the section's own name."""
_OWN_NAME = 0
_TEXT = re.compile(r"(?:\s|;;[^\n]*\n)*\(\s*(?:module|component)\s+\$([^\s()\";]+)")
_START_IN_TEXT = re.compile(r"\(\s*start\b")


class Source(NamedTuple):
    """What a source tells.

    Attributes:
        name: in the binary's name section, or in the text's first line; None if there is none.
        starts: a module, or a module inside a component, has a start function.
    """

    name: str | None
    starts: bool


def read_source(source: str | bytes | bytearray) -> Source:
    """Return what is told by the binary, or by the text form, of a module or component that wasmtime has accepted."""
    if isinstance(source, str) or source[:4] != MAGIC:
        return _read_text(source if isinstance(source, str) else source.decode("utf-8", "replace"))
    if source[4:8] == _COMPONENT:
        return Source(_component_name(source), _component_starts(memoryview(source)))
    name, starts = None, False
    for section, start, end in sections(source):
        if section == _START:
            starts = True
        elif section == _CUSTOM and name is None and source.startswith(_NAMES, start):
            name = _own_name(source, start + len(_NAMES), end)
    return Source(name, starts)


def _read_text(text: str) -> Source:
    match = _TEXT.match(text)
    return Source(
        match.group(1) if match else None, _START_IN_TEXT.search(text) is not None and _text_starts(text)
    )


def _text_starts(text: str) -> bool:
    from wasmtime import wat2wasm

    return read_source(wat2wasm(text)).starts  # the words may be in a comment, or in data


def _component_name(binary: bytes | bytearray) -> str | None:
    for section, start, end in sections(binary):
        if section == _CUSTOM and binary.startswith(_COMPONENT_NAMES, start):
            return _own_name(binary, start + len(_COMPONENT_NAMES), end)
    return None


def _component_starts(binary: memoryview) -> bool:
    if binary[4:8] != _COMPONENT:
        return any(section == _START for section, _, _ in sections(binary))
    return any(
        section == _COMPONENT_START or (section in _NESTED and _component_starts(binary[start:end]))
        for section, start, end in sections(binary)
    )


def sections(binary: bytes | bytearray | memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each section, and where its content starts and ends, as far as they can be read."""
    position, end = 8, len(binary)
    try:
        while position < end:
            section = binary[position]
            size, start = binary[position + 1], position + 2
            if size >= 0x80:
                size, start = read_number(binary, position + 1)
            position = start + size
            yield section, start, position
    except (IndexError, ValueError):
        return


def _own_name(binary: bytes | bytearray, start: int, end: int) -> str | None:
    """Return the name in the first part of a section with names; wasmtime does not look into it, so it may be wrong."""
    try:
        if start >= end or binary[start] != _OWN_NAME:  # the parts are in order
            return None
        _, start = read_number(binary, start + 1)
        size, start = read_number(binary, start)
    except (IndexError, ValueError):
        return None
    return binary[start : start + size].decode("utf-8", "replace") or None


def read_number(binary: bytes | bytearray | memoryview, position: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number of at most 32 bits; return it and the position after it."""
    number = 0
    for index in range(5):
        byte = binary[position + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position + index + 1
    raise ValueError("not a 32-bit number")
