"""Protobuf's wire format, as far as OTLP needs it.

Every function returns bytes. Those for a field leave it out where proto3 does: at its default.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from sandscope import _guard

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_BYTES = [bytes((value,)) for value in range(256)]
_INT64 = 1 << 63
_UINT64_MASK = (1 << 64) - 1
_DEEPEST = 93
"""Messages within an attribute's value: protobuf reads 100 in all, and an event's is the 7th itself."""
_double = struct.Struct("<d").pack
_uint64 = struct.Struct("<Q").pack
_uint32 = struct.Struct("<I").pack


def varint(value: int) -> bytes:
    """Return a number of at least 0, seven bits a byte."""
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


def tag(number: int, kind: int) -> bytes:
    """Return what stands before a field's value."""
    return varint(number << 3 | kind)


def message(number: int, payload: bytes) -> bytes:
    """Return a field with a length: a message, present even if empty."""
    return tag(number, _DELIMITED) + varint(len(payload)) + payload


def octets(number: int, value: bytes) -> bytes:
    """Return a bytes field."""
    return message(number, value) if value else b""


def string(number: int, value: Any) -> bytes:
    """Return a string field."""
    return octets(number, text(value))


def text(value: Any) -> bytes:
    """Return text in UTF-8; half of a surrogate pair, which protobuf refuses, is escaped."""
    return str(value).encode("utf-8", "backslashreplace")


def integer(number: int, value: int) -> bytes:
    """Return an integer or enum field."""
    return tag(number, _VARINT) + varint(value) if value else b""


def fixed64(number: int, value: int) -> bytes:
    """Return a fixed64 field; raises what `struct` does if the value does not fit."""
    return tag(number, _FIXED64) + _uint64(value) if value else b""


def fixed32(number: int, value: int) -> bytes:
    """Return a fixed32 field."""
    return tag(number, _FIXED32) + _uint32(value) if value else b""


def attributes(number: int, values: Mapping[str, Any]) -> bytes:
    """Return attributes as a repeated field; one that cannot be encoded is left out and counted."""
    parts = []
    for key, value in values.items():
        try:
            parts.append(message(number, key_value(key, value)))
        except Exception as error:  # noqa: BLE001 -- one attribute must not cost the record
            # The error itself may quote the value, which may be long or secret.
            _guard.report("encode", ValueError(f"attribute {key!r:.80}: {type(error).__name__}"))
    return b"".join(parts)


def key_value(key: str, value: Any, room: int = _DEEPEST) -> bytes:
    """Return a KeyValue.

    Raises:
        Exception: protobuf's reasons: a type or an integer that it cannot hold, half of a surrogate pair,
            too many levels.
    """
    name = str.encode(key)
    encoded = any_value(value, room)
    return octets(1, name) + b"\x12" + varint(len(encoded)) + encoded


def any_value(value: Any, room: int = _DEEPEST) -> bytes:
    """Return an AnyValue; raises as `key_value` does."""
    if room < 0:
        raise ValueError("too many levels")
    if isinstance(value, str):
        payload, number = str.encode(value), b"\x0a"
    elif value is None:
        return b""
    elif isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    elif isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise ValueError("an integer of more than 64 bits")
        return b"\x18" + varint(int(value) & _UINT64_MASK)
    elif isinstance(value, float):
        return b"\x21" + _double(value)
    elif isinstance(value, bytes):
        payload, number = bytes(value), b"\x3a"
    elif isinstance(value, Sequence):
        payload, number = b"".join(message(1, any_value(item, room - 2)) for item in value), b"\x2a"
    elif isinstance(value, Mapping):
        items = value.items()
        payload = b"".join(message(1, key_value(str(key), item, room - 3)) for key, item in items)
        number = b"\x32"
    else:
        raise TypeError(f"a value of type {type(value).__name__}")
    return number + varint(len(payload)) + payload
