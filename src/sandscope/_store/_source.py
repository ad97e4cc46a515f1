"""The files that the Collector writes: which they are, and what has been added to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple

SIGNALS = ("traces", "logs", "metrics")
_BEGIN = re.compile(rb'\{"resource(Spans|Logs|Metrics)"')
_MAX_FIRST_LINE = 1 << 16
"""Bytes of the first line that tell one file from another."""
_BUFFER = 1 << 20
"""Bytes that are read at a time."""


class Source(NamedTuple):
    """A file of the Collector.

    Attributes:
        signal: ``traces``, ``logs`` or ``metrics``.
        path: of the file at present; it changes when the file is rotated.
        identity: a digest of its beginning, which stays.
    """

    signal: str
    path: Path
    identity: str

    @property
    def grows(self) -> bool:
        """Whether the Collector may still add to it: it has not rotated it."""
        return self.path.stem == self.signal


def find_sources(data: Path) -> list[Source]:
    """Return the files of a data folder, the oldest first; those without a complete line are left for later."""
    found = []
    for folder in (data, *sorted(data.glob("[0-9]*"))):  # a number: of a Collector that ran at the same time
        for signal in SIGNALS:
            rotated = sorted(folder.glob(f"{signal}-*.jsonl"))  # their names contain the time
            for path in (*rotated, folder / f"{signal}.jsonl"):
                with suppress(OSError), path.open("rb") as file:
                    identity = _identity(file)
                    if identity is not None:
                        found.append(Source(signal, path, identity))
    return found


def read_lines(file: BinaryIO, start: int, limit: int) -> Iterator[bytes]:
    """Return the complete lines from a position on: one, and as many more as begin before ``limit`` bytes."""
    file.seek(start)
    while limit > 0 and (line := file.readline()).endswith(b"\n"):
        limit -= len(line)
        yield line


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO | None]:
    """Open the file of a source; None if it is gone since it was found, or another file has taken its name."""
    try:
        file = source.path.open("rb", _BUFFER)
    except OSError:
        yield None
        return
    with file:
        yield file if _identity(file) == source.identity else None


def complete_requests(line: bytes) -> Iterator[bytes]:
    """Return what may be a request in a line: before it may be one that a killed Collector has left without its end."""
    yield line
    for match in _BEGIN.finditer(line, 1):
        yield line[match.start() :]


def _identity(file: BinaryIO) -> str | None:
    line = file.readline(_MAX_FIRST_LINE)
    if not line.endswith(b"\n") and len(line) < _MAX_FIRST_LINE:
        return None
    return blake2b(line, digest_size=8).hexdigest()
