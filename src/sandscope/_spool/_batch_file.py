"""A file of the spool: one request, compressed, with a checksum; written to the end or not at all."""

from __future__ import annotations

import os
import re
import stat
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

from sandscope._spool._undelivered_records import Signal

SUFFIX = ".otlp"
LAST = "last"
"""In the name of a file that its process replaces with each export: cumulative metrics."""
_NOT_READY = ".new"
_MAGIC = b"SANDSCOPE-SPOOL1"
_HEADER = struct.Struct("<16sIIQ")
"""The magic number, the checksum of what follows it, the number of records, and the length of the request."""
_MOST = 1 << 28
"""Bytes of a request that is read: a file that claims more is none of the spool's."""
_BLOCK = 4096
_NAME = re.compile(r"\.?(\d{20})-(\d+)-(span|log|metric)(-last)?\.otlp(\.new)?")
_times = [0]


class Name(NamedTuple):
    """What a file's name says.

    Attributes:
        written: nanoseconds since the epoch.
        pid: of the process that has written it.
        signal: of the request.
        is_last: whether the process replaces it with each export.
        is_ready: whether it is written to the end.
    """

    written: int
    pid: int
    signal: Signal
    is_last: bool
    is_ready: bool


class Waiting(NamedTuple):
    """A file that waits to be sent, and the bytes that it takes on disk."""

    path: Path
    name: Name
    size: int


def parse(name: str) -> Name | None:
    """Return what a file's name says; None if it is not a name of the spool's files."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return Name(int(match[1]), int(match[2]), cast(Signal, match[3]), match[4] is not None, match[5] is None)


def files_in(folder: Path) -> Iterator[Waiting]:
    """Yield this user's files of the spool in a folder, in no order. Everything else is as if it were not there."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = parse(entry.name)
            if name is None:
                continue
            with suppress(OSError):  # another process has removed it
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                    yield Waiting(folder / entry.name, name, on_disk(status.st_size))


def write(folder: Path, signal: Signal, content: bytes, *, last: bool = False) -> Path:
    """Write a new file.

    Args:
        folder: where.
        signal: of the request.
        content: the result of `pack`.
        last: see `Name`.

    Raises:
        OSError: if it cannot be written. Then nothing remains.
    """
    _times[0] = written = max(_times[0] + 1, time.time_ns())  # in order, also if the clock is set back
    name = f"{written:020}-{os.getpid()}-{signal}{f'-{LAST}' if last else ''}{SUFFIX}"
    hidden, path = folder / f".{name}{_NOT_READY}", folder / name
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        hidden.rename(path)  # only now do others see it
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    return path


def on_disk(size: int) -> int:
    """Return the bytes that a file takes on disk: whole blocks. So there are not too many small files either."""
    return -(-size // _BLOCK) * _BLOCK


def pack(request: bytes, records: int) -> bytes:
    """Return the content of a file.

    Args:
        request: the encoded request.
        records: how many records it has.
    """
    compressed = zlib.compress(request, 1)
    checksum = zlib.crc32(compressed, records)
    return _HEADER.pack(_MAGIC, checksum, records, len(request)) + compressed


def read(path: Path) -> tuple[bytes, int] | None:
    """Return the request and the number of its records; None if the file is torn, or none of the spool's.

    Raises:
        OSError: if it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > _MOST:
            return None
        content = file.read()
    header, compressed = content[: _HEADER.size], content[_HEADER.size :]
    if len(header) < _HEADER.size:
        return None
    magic, checksum, records, length = _HEADER.unpack(header)
    if magic != _MAGIC or length > _MOST or zlib.crc32(compressed, records) != checksum:
        return None
    try:
        request = zlib.decompressobj().decompress(compressed, length + 1)
    except zlib.error:
        return None
    return (request, records) if len(request) == length else None


def records_in(path: Path) -> int:
    """Return how many records a file says that it has; 0 if it does not."""
    with suppress(OSError, struct.error):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            magic, _, records, _ = _HEADER.unpack(file.read(_HEADER.size))
            return records if magic == _MAGIC else 0
    return 0
