"""The parts of the store: Parquet files whose names say what they contain."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SUFFIX = ".parquet"
EXPIRED = ".expired"
"""Instead of a part whose rows are too old: they must not be read again from their source."""
_NAME = re.compile(rf"(\w+)-(\w+)-(\d+)-(\d+)-(\d+)-(\d+)({re.escape(SUFFIX)}|{re.escape(EXPIRED)})")


class Part(NamedTuple):
    """The rows of a range of bytes of a source.

    Attributes:
        signal: as in `Source`.
        identity: of the source.
        start: the first byte.
        end: the byte after the last.
        suffix: `SUFFIX` or `EXPIRED`.
        first: when its first row was, in microseconds since 1970.
        last: when its last row was.
    """

    signal: str
    identity: str
    start: int
    end: int
    suffix: str = SUFFIX
    first: int = 0
    last: int = 0

    @property
    def name(self) -> str:
        """The file name."""
        words = self.signal, self.identity, self.start, self.end, self.first, self.last
        return "-".join(map(str, words)) + self.suffix


def list_parts(store: Path) -> list[Part]:
    """Return the parts, in the order of their contents; one that lies within another is left over from a merge."""
    parts = [part for path in store.iterdir() if (part := _parse(path)) is not None]
    parts.sort(
        key=lambda part: (part.signal, part.identity, part.start, -part.end, part.suffix)
    )  # expired first
    kept: list[Part] = []
    for part in parts:
        last = kept[-1] if kept else None
        if last is None or last[:2] != part[:2] or part.end > last.end:
            kept.append(part)
    return kept


def leftovers(store: Path, parts: Iterable[Part]) -> list[Path]:
    """Return what killed writers have left in the store."""
    names = {part.name for part in parts}
    return [
        path
        for path in store.iterdir()
        if path.name not in names and (path.suffix in {SUFFIX, EXPIRED} or path.name.startswith("new-"))
    ]


def _parse(path: Path) -> Part | None:
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    signal, identity, start, end, first, last, suffix = found.groups()
    return Part(signal, identity, int(start), int(end), suffix, int(first), int(last))
