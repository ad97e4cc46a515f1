"""Compare the security log with its chain, and name the first line that differs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple

from sandscope._audit._chain import CHAIN, Entry, digest, linked, read_chain
from sandscope._audit._files import Line, sealed_lines
from sandscope._errors import SandscopeError

RETENTION = 365
"""Days after which the overlay `security` may remove a file."""


class Verified(NamedTuple):
    """What was compared.

    Attributes:
        lines: that are as they were when they were sealed.
        aged_out: lines that were removed after `RETENTION` days.
        unsealed: lines that have been added since.
        last: the last entry; None if nothing has been sealed.
        wrong: what differs first; empty if nothing does.
    """

    lines: int
    aged_out: int
    unsealed: int
    last: Entry | None
    wrong: str


def verify(
    data: Path, key: bytes | None = None, *, kept_head: str | None = None, retention: int = RETENTION
) -> Verified:
    """Compare each line with its entry.

    Args:
        data: the Collector's folder.
        key: with which it was sealed.
        kept_head: a head that was kept elsewhere, which the chain must contain.
        retention: days after which a line may be missing from the beginning.

    Raises:
        SandscopeError: if a file cannot be read, or if there is no chain: nothing can be said then.
    """
    last, wrong = _check_chain(data / CHAIN, key, kept_head)
    if wrong:
        return Verified(0, 0, 0, last, wrong)
    if last is None:
        raise SandscopeError(f"Cannot verify a security log in {str(data)!r}: {_lacking(data)}")
    return _compare(data, last, retention)


def _lacking(data: Path) -> str:
    if any(True for _ in sealed_lines(data)):
        return (
            f"none of its lines is sealed: {CHAIN} is missing or empty. If there was a chain, somebody has removed it; "
            "else `sandscope audit seal` begins one."
        )
    return "there is none. Run the Collector with the overlay `security`."


def _check_chain(path: Path, key: bytes | None, kept_head: str | None) -> tuple[Entry | None, str]:
    last, found = None, kept_head is None
    for entry, follows in linked(read_chain(path), key):
        if not follows:
            why = (
                "it was sealed with another key, or changed"
                if entry.n == 1
                else "it or the one before was changed"
            )
            return last, f"entry {entry.n} of the chain does not follow from the entry before it: {why}"
        last = entry
        found = found or entry.head == kept_head
    if not found:
        return last, "the chain does not contain the head that was kept: it was cut off or rewritten"
    return last, ""


def _compare(data: Path, last: Entry | None, retention: int) -> Verified:
    lines = sealed_lines(data)
    line = next(lines, None)
    # Not those that are sealed meanwhile: their lines may be in a file that is not open here.
    entries = _up_to(last, read_chain(data / CHAIN))
    aged_out = _aged_out(_up_to(last, read_chain(data / CHAIN)), line, _oldest(retention))
    entry = next(islice(entries, aged_out, None), None)
    same = unsealed = 0
    while entry is not None and line is not None and digest(line.content) == entry.sha256:
        same += 1
        entry, line = next(entries, None), next(lines, None)
    wrong = ""
    if entry is not None:
        wrong = _difference(entry, entries, line, lines)
    elif line is not None:
        unsealed = 1 + sum(1 for _ in lines)
    return Verified(same, aged_out, unsealed, last, wrong)


def _up_to(last: Entry | None, entries: Iterator[Entry]) -> Iterator[Entry]:
    return takewhile(lambda entry: last is not None and entry.n <= last.n, entries)


def _oldest(retention: int) -> str:
    return (datetime.now(timezone.utc) - timedelta(days=retention)).isoformat()


def _aged_out(entries: Iterator[Entry], first: Line | None, oldest: str) -> int:
    """Return how many entries are old enough to be gone: at most those before that of the first line there is."""
    wanted = None if first is None else digest(first.content)
    count, old = 0, True
    for entry in entries:
        if entry.sha256 == wanted:
            return count
        old = old and entry.time < oldest
        count += old
    return count if first is None else 0  # a line without an entry: nothing tells what is gone


def _difference(entry: Entry, entries: Iterator[Entry], line: Line | None, lines: Iterator[Line]) -> str:
    """Say how the line that an entry expects differs, in view of all that follow."""
    expected = f"line {entry.n}, sealed {entry.time},"
    if line is None:
        return f"{expected} has been removed: the log ends before it"
    here, found = f"{line.file}, line {line.number}", digest(line.content)
    sealed_later = any(found == each.sha256 for each in entries)
    comes_later = next((each for each in lines if digest(each.content) == entry.sha256), None)
    if sealed_later and comes_later is not None:
        return f"{expected} has been moved to {comes_later.file}, line {comes_later.number}"
    if sealed_later:
        return f"{expected} has been removed: before {here}"
    if comes_later is not None:
        return f"a line has been inserted before line {entry.n}: {here}"
    return f"{expected} has been changed: {here}"
