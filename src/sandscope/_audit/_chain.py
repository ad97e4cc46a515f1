"""The chain: for each line of the security log, its hash, and a head that depends on all lines before."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sandscope._errors import SandscopeError

CHAIN = "security.chain"
_GENESIS: Final = "0" * 64
_HASH = re.compile("[0-9a-f]{64}")


class Entry(NamedTuple):
    """What the chain says of a line.

    Attributes:
        n: of the line, from 1 on, since the chain began.
        time: when it was sealed, in UTC.
        begin: where the line begins in its file.
        size: of the line in bytes, without its end.
        sha256: of the line.
        head: of this entry and all before.
    """

    n: int
    time: str
    begin: int
    size: int
    sha256: str
    head: str

    def text(self) -> str:
        """Return the entry as a line of the chain."""
        return json.dumps(self._asdict(), separators=(",", ":")) + "\n"


def digest(content: bytes) -> str:
    """Return the hash of a line."""
    return hashlib.sha256(content).hexdigest()


def follow(last: Entry | None, time: str, begin: int, content: bytes, key: bytes | None) -> Entry:
    """Return the entry of the line that follows."""
    n, previous = (1, _GENESIS) if last is None else (last.n + 1, last.head)
    entry = Entry(n, time, begin, len(content), digest(content), "")
    return entry._replace(head=head(previous, entry, key))


def head(previous: str, entry: Entry, key: bytes | None) -> str:
    """Return the head of an entry, given that of the entry before."""
    covered = f"{previous} {entry.n} {entry.time} {entry.begin} {entry.size} {entry.sha256}".encode()
    if key is None:
        return hashlib.sha256(covered).hexdigest()
    return hmac.new(key, covered, hashlib.sha256).hexdigest()


def read_chain(path: Path) -> Iterator[Entry]:
    """Yield the entries; a last line without its end, as a crash leaves one, is left out.

    Raises:
        SandscopeError: with the number of the first line that is not an entry.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield parse(line, path, number)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SandscopeError(
            f"Cannot read the chain {str(path)!r}: {error.strerror}. Run this as the user who runs the Collector."
        ) from error


def parse(line: bytes, path: Path, number: int | None = None) -> Entry:
    """Return the entry in a line of the chain; without a number, the last one."""
    try:
        entry = Entry(**json.loads(line))
        valid = [type(each) for each in entry] == [int, str, int, int, str, str]
        if valid and _HASH.fullmatch(entry.sha256) and _HASH.fullmatch(entry.head):
            return entry
    except (TypeError, ValueError, RecursionError):
        pass
    which = "The last line" if number is None else f"Line {number}"
    raise SandscopeError(f"{which} of the chain {str(path)!r} is not an entry: it has been changed.")


def linked(entries: Iterator[Entry], key: bytes | None) -> Iterator[tuple[Entry, bool]]:
    """Yield each entry, and whether it follows from the one before."""
    previous = _GENESIS
    for n, entry in enumerate(entries, 1):
        yield entry, entry.n == n and hmac.compare_digest(entry.head, head(previous, entry, key))
        previous = entry.head
