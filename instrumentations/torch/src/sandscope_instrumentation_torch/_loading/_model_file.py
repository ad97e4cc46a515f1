"""The content of what ``torch.load`` is given: its format, and what its pickles name. Nothing of it is executed."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sandscope_instrumentation_torch._loading._pickle_globals import read_globals

_LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
"""The number that the first pickle of torch's old format holds."""
_LEGACY_PICKLES = 5
"""The magic number, the version, the system, the objects and the keys of their storages; the tensors' bytes follow."""
_ZIP = b"PK\x03\x04"
_FIRST_BYTES = 1 << 16
_FILES = (io.BufferedReader, io.BufferedRandom, io.FileIO)


class Content(NamedTuple):
    """What a file or stream contains.

    Attributes:
        format: a value of ``torch.model.format``, or None if it is not one of torch's formats.
        named: the classes and functions that its pickles name, such as ``posix system``.
    """

    format: str | None
    named: set[str]


_UNREADABLE = Content(None, set())


def read_content(torch: Any, source: Any) -> Content:
    """Return what ``torch.load`` is about to read.

    Args:
        torch: the module.
        source: a path, or an open file of Python's own classes. Other objects are not read: reading them may be seen.
    """
    with _open(source) as file:
        if file is None:
            return _UNREADABLE
        position = file.tell()
        is_archive = file.read(len(_ZIP)) == _ZIP
        file.seek(position)
        try:
            return _read_archive(torch, file) if is_archive else _read_pickles(file)
        except RuntimeError:  # It is truncated or corrupt: torch is about to say so.
            return _UNREADABLE


@contextmanager
def _open(source: Any) -> Iterator[Any]:
    """Give a file whose position is restored, or None."""
    if isinstance(source, (str, os.PathLike)):
        if Path(source).is_file():
            with Path(source).open("rb") as file:
                yield file
            return
    elif type(source) is io.BytesIO or (type(source) in _FILES and _is_regular(source)):
        position = source.tell()
        try:
            yield source
        finally:
            source.seek(position)
        return
    yield None


def _is_regular(file: Any) -> bool:
    return file.readable() and stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _read_archive(torch: Any, file: Any) -> Content:
    """Read the pickle of an archive with torch's own reader, so that it is the one that torch reads."""
    reader = torch._C.PyTorchFileReader(file)
    if not reader.has_record("data.pkl"):
        return _UNREADABLE
    if reader.has_record("constants.pkl"):
        return Content(
            "torchscript", set()
        )  # Its pickles are read by torch's C++ code, which runs no Python.
    return Content("zip", read_globals(reader.get_record("data.pkl"))[0])


def _read_pickles(file: Any) -> Content:
    """Read as much of a file as its pickles take: the tensors' bytes may follow them."""
    data, size = b"", _FIRST_BYTES
    while True:
        more = file.read(size)
        data += more
        content, complete = _pickles_in(data)
        if complete or not more:
            return content
        size = len(data)


def _pickles_in(data: bytes) -> tuple[Content, bool]:
    named, end = read_globals(data)
    if _LEGACY_MAGIC not in data[:end]:
        return Content("pickle" if end is not None else None, named), end is not None
    for _ in range(_LEGACY_PICKLES - 1):
        if end is None:
            break
        more, end = read_globals(data, end)
        named |= more
    return Content("legacy", named), end is not None
