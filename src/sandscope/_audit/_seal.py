"""Seal the lines that have been added to the security log."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import IO

from sandscope._audit._chain import CHAIN, Entry, digest, follow, parse
from sandscope._audit._files import Line, Segment, open_segments
from sandscope._errors import SandscopeError

_AT_A_TIME = 10_000
"""Lines that are sealed before they are written."""
_LONGEST_ENTRY = 4096


def seal(data: Path, key: bytes | None = None, *, after: Entry | None = None) -> tuple[int, Entry | None]:
    """Add an entry to the chain for each line that has none.

    Args:
        data: the Collector's folder.
        key: of the heads; None: they can be computed without a key.
        after: the last entry when this process has sealed before, if it has.

    Returns:
        How many lines were sealed, and the last entry.

    Raises:
        SandscopeError: if the line that was sealed last, or the entry ``after``, is no longer there, or if a file
            cannot be read or written.
    """
    if not data.is_dir():
        raise SandscopeError(f"Cannot seal the security log in {str(data)!r}: there is no such folder.")
    segments = open_segments(data)
    try:
        with _open_chain(data / CHAIN) as chain:
            last = _last_entry(chain, data / CHAIN)
            _check_length(last, after, data)
            lines = _unsealed(segments, last, data)
            sealed = 0
            while batch := list(islice(lines, _AT_A_TIME)):
                last = _append(chain, batch, last, key)
                sealed += len(batch)
            return sealed, last
    except OSError as error:
        raise SandscopeError(f"Cannot seal the security log in {str(data)!r}: {error.strerror}.") from error
    finally:
        for segment in segments:
            segment.content.close()


@contextmanager
def _open_chain(path: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as chain:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield chain


def _last_entry(chain: IO[bytes], path: Path) -> Entry | None:
    """Return the last entry, and cut off what a crash has left behind it."""
    size = chain.seek(0, os.SEEK_END)
    begin = max(0, size - _LONGEST_ENTRY)
    chain.seek(begin)
    tail = chain.read()
    end = tail.rfind(b"\n") + 1
    if end < len(tail):
        chain.truncate(begin + end)
    chain.seek(0, os.SEEK_END)
    lines = tail[:end].splitlines(keepends=True)
    return parse(lines[-1], path) if lines else None


def _check_length(last: Entry | None, after: Entry | None, data: Path) -> None:
    """Nothing is sealed behind a chain that was cut off: the cut could no longer be seen."""
    if after is None or last == after or (last is not None and last.n > after.n):
        return
    raise SandscopeError(
        f"Cannot seal the security log in {str(data)!r}: {CHAIN} has been cut off or written anew: it had {after.n} "
        f"entries, the last one sealed {after.time} with the head {after.head}. Keep the files security* of that "
        "folder in another one. When the Collector starts again, a new chain begins."
    )


def _append(chain: IO[bytes], lines: list[Line], last: Entry | None, key: bytes | None) -> Entry | None:
    time = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = []
    for line in lines:
        last = follow(last, time, line.begin, line.content, key)
        text.append(last.text())
    chain.write("".join(text).encode())
    chain.flush()
    os.fsync(chain.fileno())
    return last


def _unsealed(segments: list[Segment], last: Entry | None, data: Path) -> Iterator[Line]:
    """Yield the lines after that of the last entry, which is looked for in the newest files first."""
    if last is None:
        for segment in segments:
            yield from segment.lines()
        return
    for index in reversed(range(len(segments))):
        if digest(segments[index].read(last.begin, last.size)) == last.sha256:
            yield from segments[index].lines(last.begin + last.size + 1)
            for segment in segments[index + 1 :]:
                yield from segment.lines()
            return
    raise SandscopeError(
        f"Cannot seal the security log in {str(data)!r}: line {last.n}, which was sealed last, is no longer there. "
        "Run `sandscope audit verify`, and keep the files security* of that folder in another one. "
        "Then a new chain begins."
    )
