"""The files that the Collector writes: which they are, and what has been added to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

SIGNALS = ("traces", "logs", "metrics")
_BEGIN = re.compile(rb'\{"resource(Spans|Logs|Metrics)"')
_MAX_FIRST_LINE = 1 << 16
"""Bytes of the first line that tell one file from another."""


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


def find_sources(data: Path) -> list[Source]:
    """Return the files of a data folder, the oldest first; those without a complete line are left for later."""
    found = []
    for folder in (data, *sorted(data.glob("[0-9]*"))):  # a number: of a Collector that ran at the same time
        for signal in SIGNALS:
            rotated = sorted(folder.glob(f"{signal}-*.jsonl"))  # their names contain the time
            for path in (*rotated, folder / f"{signal}.jsonl"):
                identity = _identity(path)
                if identity is not None:
                    found.append(Source(signal, path, identity))
    return found


def read_lines(path: Path, start: int, limit: int) -> tuple[list[bytes], int]:
    """Return the complete lines from a position on, about ``limit`` bytes at most, and the position after them."""
    with path.open("rb") as file:
        file.seek(start)
        text = file.read(limit)
        end = text.rfind(b"\n") + 1
        if not end and len(text) == limit:  # a line that is longer
            text += file.readline()
            end = len(text) if text.endswith(b"\n") else 0
    return text[:end].splitlines(), start + end


def complete_requests(line: bytes) -> Iterator[bytes]:
    """Return what may be a request in a line: before it may be one that a killed Collector has left without its end."""
    yield line
    for match in _BEGIN.finditer(line, 1):
        yield line[match.start() :]


def _identity(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            line = file.readline(_MAX_FIRST_LINE)
    except OSError:
        return None
    if not line.endswith(b"\n") and len(line) < _MAX_FIRST_LINE:
        return None
    return blake2b(line, digest_size=8).hexdigest()
