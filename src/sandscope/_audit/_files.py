"""The lines of the security log, across rotated and compressed files, the oldest first."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from sandscope._errors import SandscopeError

FILE = "security.jsonl"
"""The file that the overlay `security` writes."""

_ROTATED = "security-*.jsonl*"
_OPEN: dict[str, Callable[[Path], object]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


class Line(NamedTuple):
    """A complete line.

    Attributes:
        file: the name of its file.
        number: in the file, from 1 on.
        begin: where it begins in the file's content, uncompressed.
        content: without the line's end.
    """

    file: str
    number: int
    begin: int
    content: bytes


class Segment(NamedTuple):
    """A file of the log, open. It stays the same file when it is rotated meanwhile."""

    path: Path
    content: IO[bytes]
    rotated: bool

    def lines(self, begin: int = 0) -> Iterator[Line]:
        """Yield the complete lines from a position on. Of a rotated file, the last one is complete without an end."""
        self.content.seek(begin)
        for number, content in enumerate(self.content, 1):
            if content.endswith(b"\n") or self.rotated:
                if content != b"\n":
                    yield Line(self.path.name, number, begin, content.rstrip(b"\n"))
                begin += len(content)

    def read(self, begin: int, length: int) -> bytes:
        """Return a part of the content."""
        self.content.seek(begin)
        return self.content.read(length)


def open_segments(data: Path) -> list[Segment]:
    """Open the files of a folder, the oldest first. The caller closes them.

    Raises:
        SandscopeError: if one cannot be read.
    """
    try:
        try:
            return _open_all(data)
        except FileNotFoundError:  # somebody has compressed or removed one after it was listed
            return _open_all(data)
    except OSError as error:
        raise SandscopeError(
            f"Cannot read the security log in {str(data)!r}: {error.strerror or error}. "
            "Run this as the user who runs the Collector."
        ) from error


def sealed_lines(data: Path) -> Iterator[Line]:
    """Yield all complete lines."""
    segments = open_segments(data)
    try:
        for segment in segments:
            yield from segment.lines()
    except (EOFError, OSError, lzma.LZMAError) as error:
        raise SandscopeError(f"Cannot read {str(segment.path)!r}: {error}. It is damaged.") from error
    finally:
        for segment in segments:
            segment.content.close()


def _open_all(data: Path) -> list[Segment]:
    # The newest first: it may be rotated before the others are listed, and is then among them.
    try:
        newest = _open(data / FILE)
    except FileNotFoundError:
        newest = None
    found = [
        Segment(path, cast(IO[bytes], _OPEN.get(path.suffix, _open)(path)), True) for path in _rotated(data)
    ]
    if newest is None:
        return found
    identity = _identity(newest)
    for index, segment in enumerate(found):
        if _identity(segment.content) == identity:
            for later in found[index:]:
                later.content.close()
            del found[index:]
            break
    return [*found, Segment(data / FILE, newest, False)]


def _rotated(data: Path) -> list[Path]:
    """Return the rotated files by their names, which contain the time; each once, if somebody is compressing it."""
    by_name = {path.name.partition(".jsonl")[0]: path for path in sorted(data.glob(_ROTATED), reverse=True)}
    return [by_name[name] for name in sorted(by_name)]


def _open(path: Path) -> IO[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not a file")
    return os.fdopen(descriptor, "rb")


def _identity(file: IO[bytes]) -> tuple[int, int] | None:
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_dev, status.st_ino
