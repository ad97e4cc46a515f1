"""The part of Protobuf's wire format that templates need.

Every function returns bytes. As in proto3, fields with the default value are omitted. For values that Protobuf would
reject, the functions raise, and the record is encoded by the SDK's encoder.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_BYTES = [bytes((value,)) for value in range(256)]
_INT64 = 1 << 63
_UINT64_MASK = (1 << 64) - 1
_double = struct.Struct("<d").pack
_uint32 = struct.Struct("<I").pack
_uint64 = struct.Struct("<Q").pack


def varint(value: int) -> bytes:
    """Return a varint of a number >= 0: seven bits in each byte."""
    if value < 0x80:
        return _BYTES[value]
    if value < 0x4000:
        return _BYTES[value & 0x7F | 0x80] + _BYTES[value >> 7]
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


@lru_cache(maxsize=64)
def tag(number: int, kind: int) -> bytes:
    """Return the tag of a field: its number and wire type."""
    return varint(number << 3 | kind)


def message(number: int, payload: bytes) -> bytes:
    """Return a length-delimited field. It is not omitted if it is empty."""
    return tag(number, _DELIMITED) + varint(len(payload)) + payload


def string(number: int, value: str) -> bytes:
    """Return a string field."""
    return message(number, value.encode()) if value else b""


def integer(number: int, value: int) -> bytes:
    """Return an integer or enum field."""
    return tag(number, _VARINT) + varint(value) if value else b""


def fixed32(number: int, value: int) -> bytes:
    """Return a fixed32 field."""
    return tag(number, _FIXED32) + _uint32(value) if value else b""


def fixed64(number: int, value: int) -> bytes:
    """Return a fixed64 field."""
    return tag(number, _FIXED64) + _uint64(value) if value else b""


def attributes(number: int, values: Mapping[str, Any]) -> bytes:
    """Return attributes as a repeated field."""
    start = tag(number, _DELIMITED)
    parts: list[bytes] = []
    for key, value in values.items():
        pair = key_value(key, value)
        parts += start, varint(len(pair)), pair
    return b"".join(parts)


def key_value(key: str, value: Any) -> bytes:
    """Return a KeyValue."""
    encoded = any_value(value)
    return _name(key) + varint(len(encoded)) + encoded


@lru_cache(maxsize=512)
def _name(key: str) -> bytes:
    name = key.encode()
    return b"\x0a" + varint(len(name)) + name + b"\x12"


def any_value(value: Any) -> bytes:
    """Return an AnyValue.

    Args:
        value: a str, bool, 64-bit int or float, or a tuple of these.

    Raises:
        TypeError: if the value has another type.
        ValueError: if a string contains a lone surrogate, or an integer exceeds 64 bits.
    """
    kind: type = type(value)
    payload: bytes
    if kind is str:
        payload, number = value.encode(), b"\x0a"
    elif kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    elif kind is int:
        if not -_INT64 <= value < _INT64:
            raise ValueError("an integer of more than 64 bits")
        return b"\x18" + varint(value & _UINT64_MASK)
    elif kind is float:
        return b"\x21" + _double(value)
    elif kind is tuple:
        payload, number = b"".join([message(1, any_value(item)) for item in value]), b"\x2a"
    else:
        raise TypeError(f"a value of type {kind.__name__}")
    return number + varint(len(payload)) + payload
