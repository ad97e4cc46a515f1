"""The name of a module that was compiled before, from its image: an ELF file, whose name is often a hash.

wasmtime writes what it knows of a module into the section ``.wasmtime.info``, its number and name first.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from importlib.metadata import version
from typing import BinaryIO

from sandscope_instrumentation_wasmtime._names._source import read_number

_MAGIC = b"\x7fELF\x02\x01"
"""Of 64 bits, little-endian."""
_SECTION = b".wasmtime.info"
_HEADER = struct.Struct("<40xQ10xHHH")
_SECTION_HEADER = struct.Struct("<I20xQQ24x")
_WITH_TABLE = 43
"""The first version of wasmtime that writes a table of strings, and in place of a name its number in there."""


def compiled_name(image: BinaryIO) -> str | None:
    """Return the name of the module in an image that wasmtime has accepted, or None.

    Args:
        image: is read from its start, and only in part.
    """
    try:
        info = _section(image)
        return None if info is None else _name(info)
    except (IndexError, OverflowError, ValueError, struct.error):  # a layout that is not known
        return None


def _section(image: BinaryIO) -> bytes | None:
    header = image.read(_HEADER.size)
    if not header.startswith(_MAGIC):
        return None
    table, size, count, names = _HEADER.unpack(header)
    image.seek(table)
    headers = image.read(size * count)
    sections = [_SECTION_HEADER.unpack_from(headers, index * size) for index in range(count)]
    image.seek(sections[names][1])
    texts = image.read(sections[names][2])
    for name, start, length in sections:
        if texts[name:].startswith(_SECTION + b"\0"):
            image.seek(start)
            return image.read(length)
    return None


def _name(info: bytes) -> str | None:
    _, position = read_number(info, 0)
    strings: list[bytes] = []
    if _has_table():
        count, position = read_number(info, position)
        for _ in range(count):
            string, position = _string(info, position)
            strings.append(string)
    if not info[position]:
        return None
    if not strings:
        name, _ = _string(info, position + 1)
    else:
        name = strings[read_number(info, position + 1)[0] - 1]
    return name.decode() or None


def _string(info: bytes, position: int) -> tuple[bytes, int]:
    size, start = read_number(info, position)
    return info[start : start + size], start + size


@lru_cache(1)
def _has_table() -> bool:
    return int(version("wasmtime").partition(".")[0]) >= _WITH_TABLE
