"""The name that a guest's author gave it, from the binary's name section or the text's first line."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAGIC = b"\0asm"
COMPONENT = b"\x0d\0\x01\0"
_CUSTOM_SECTION = 0
_OWN_NAME = 0
_TEXT = re.compile(r"(?:\s|;;[^\n]*\n)*\(\s*(?:module|component)\s+\$([^\s()\";]+)")


def guest_name(source: str | bytes | bytearray) -> str | None:
    """Return the name of a module or component that wasmtime has accepted, or None.

    Args:
        source: the binary, or its text form.
    """
    if isinstance(source, str) or source[:4] != MAGIC:
        text = source if isinstance(source, str) else source[:4096].decode("utf-8", "replace")
        match = _TEXT.match(text)
        return match.group(1) if match else None
    try:
        return _from_binary(source)
    except (IndexError, ValueError):  # wasmtime does not look into custom sections: they may hold anything
        return None


def _from_binary(binary: bytes | bytearray) -> str | None:
    wanted = b"component-name" if binary[4:8] == COMPONENT else b"name"
    for section, start, end in sections(binary):
        if section == _CUSTOM_SECTION:
            name, position = _bytes(binary, start)
            if name == wanted:
                return _own_name(binary, position, end)
    return None


def sections(binary: bytes | bytearray | memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each section, and where its content starts and ends."""
    position = 8
    while position < len(binary):
        section = binary[position]
        size, start = read_number(binary, position + 1)
        position = start + size
        yield section, start, position


def _own_name(binary: bytes | bytearray, start: int, end: int) -> str | None:
    if start >= end or binary[start] != _OWN_NAME:  # subsections are in order, this one is the first
        return None
    _, start = read_number(binary, start + 1)
    name, _ = _bytes(binary, start)
    return name.decode("utf-8", "replace") or None


def _bytes(binary: bytes | bytearray, position: int) -> tuple[bytes, int]:
    size, start = read_number(binary, position)
    return bytes(binary[start : start + size]), start + size


def read_number(binary: bytes | bytearray | memoryview, position: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number of at most 32 bits; return it and the position after it."""
    number = binary[position]
    if number < 0x80:  # most are: the rest costs three times as much
        return number, position + 1
    number &= 0x7F
    for index in range(1, 5):
        byte = binary[position + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position + index + 1
    raise ValueError("not a 32-bit number")
