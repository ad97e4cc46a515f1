"""The parts of the store: Parquet files whose names say what they contain."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SUFFIX = ".parquet"
EXPIRED = ".expired"
"""Instead of a part whose rows are too old: they must not be read again from their source."""


class Part(NamedTuple):
    """The rows of a range of bytes of a source.

    Attributes:
        signal: as in `Source`.
        identity: of the source.
        start: the first byte.
        end: the byte after the last.
        suffix: `SUFFIX` or `EXPIRED`.
    """

    signal: str
    identity: str
    start: int
    end: int
    suffix: str = SUFFIX

    @property
    def name(self) -> str:
        """The file name."""
        return f"{self.signal}-{self.identity}-{self.start}-{self.end}{self.suffix}"


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
        if path.name not in names and (_parse(path) is not None or path.name.startswith("new-"))
    ]


def _parse(path: Path) -> Part | None:
    words = path.stem.split("-")
    if (
        path.suffix not in {SUFFIX, EXPIRED}
        or len(words) != 4
        or not words[2].isdigit()
        or not words[3].isdigit()
    ):
        return None
    return Part(words[0], words[1], int(words[2]), int(words[3]), path.suffix)
