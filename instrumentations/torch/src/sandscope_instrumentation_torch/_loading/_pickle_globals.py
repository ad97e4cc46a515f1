"""The classes and functions that a pickle names. The pickle is read, and never executed."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import Any

_STOP, _STACK_GLOBAL = 0x2E, 0x93
_EXTENSIONS = {0x82: 1, 0x83: 2, 0x84: 4}
UNKNOWN = "unknown"
"""What is named by numbers, or by strings that only running the pickle would tell."""


def _argument_sizes() -> list[int]:
    """Return for each opcode the length of its argument in bytes.

    It is -1, -4 or -8 if a number of so many bytes says it, -100 or -200 for one or two lines, and -999 if there is no
    such opcode.
    """
    sizes = [-999] * 256
    by_count = {pickletools.TAKEN_FROM_ARGUMENT1: -1, pickletools.TAKEN_FROM_ARGUMENT8U: -8}
    by_count |= {pickletools.TAKEN_FROM_ARGUMENT4: -4, pickletools.TAKEN_FROM_ARGUMENT4U: -4}
    for opcode in pickletools.opcodes:
        length = 0 if opcode.arg is None else opcode.arg.n
        if length == pickletools.UP_TO_NEWLINE:
            length = -200 if opcode.name in ("GLOBAL", "INST") else -100
        sizes[ord(opcode.code)] = by_count.get(length, length)
    return sizes


_SIZES = _argument_sizes()


def read_globals(data: bytes, start: int = 0) -> tuple[set[str], int | None]:
    """Return what a pickle names, such as ``posix system``, and where it ends: None if it has no end there.

    Unpickling runs what comes before an opcode that does not exist, or before the end of a truncated file.

    Args:
        data: what contains the pickle.
        start: of the pickle, in bytes.
    """
    found: set[str] = set()
    position, sizes, by_strings, ended = start, _SIZES, False, False
    try:
        while not ended:
            opcode = data[position]
            size = sizes[opcode]
            position += 1
            if size >= 0:
                ended = opcode == _STOP
                by_strings = by_strings or opcode == _STACK_GLOBAL
                if opcode in _EXTENSIONS:
                    found.add(UNKNOWN)
                position += size
            elif size >= -8:
                position += int.from_bytes(data[position : position - size], "little") - size
            elif size == -999:
                break
            else:
                end = data.index(b"\n", position)
                if size == -200:
                    module = data[position:end]
                    position, end = end + 1, data.index(b"\n", end + 1)
                    found.add(f"{_text(module)} {_text(data[position:end])}")
                position = end + 1
    except (IndexError, ValueError):
        pass
    if by_strings:
        found |= _named_by_strings(data[start:position])
    return found, position if ended else None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _named_by_strings(pickled: bytes) -> set[str]:
    """Return what is named by the two topmost strings of the stack, as far as they are pushed or memoised plainly."""
    found: set[str] = set()
    memo: dict[int, Any] = {}
    top: list[Any] = [None, None]
    for opcode, argument in _opcodes(pickled):
        name = opcode.name
        if name == "STACK_GLOBAL":
            named = all(isinstance(part, str) for part in top)
            found.add(f"{top[0]} {top[1]}" if named else UNKNOWN)
            top = [None, None]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = top[1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            top = [top[1], memo.get(argument)]
        elif isinstance(argument, str) and opcode.stack_before == []:
            top = [top[1], argument]
        elif name not in ("PROTO", "FRAME"):
            top = [None, None] if opcode.stack_before else [top[1], None]
    return found


def _opcodes(pickled: bytes) -> Iterator[tuple[Any, Any]]:
    try:
        for opcode, argument, _position in pickletools.genops(pickled):
            yield opcode, argument
    except (ValueError, IndexError):
        return  # It is truncated: unpickling stops here too.
