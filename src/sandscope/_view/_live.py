"""The store while the page is open: what is new is read in the background, and pages ask what is there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from sandscope._errors import SandscopeError
from sandscope._say import say
from sandscope._store import Database, ingest, writing

_T = TypeVar("_T")
_INTERVAL = 1.0
"""Seconds between two looks at the Collector's files."""
_TRIES = 5
"""How often a page is asked for again if the parts that it reads were merged meanwhile."""


class _Stopped(Exception):  # noqa: N818 -- not an error
    pass


class Live:
    """The store of a data folder.

    Attributes:
        problem: why nothing new can be read, or None.
        progress: bytes that were read and that are to be read, while that takes long; else None.
    """

    def __init__(self, data: Path) -> None:
        """Begin with what is there."""
        self.data = data
        self.problem: str | None = None
        self.progress: tuple[int, int] | None = None
        self._store = data / "store"
        self._stopping = threading.Event()
        self._reader = threading.Thread(target=self._read_what_is_new, name="sandscope-view", daemon=True)
        self._asking = threading.Lock()
        self._database: Database | None = None
        self._version = ""

    def __enter__(self) -> Live:
        """Begin to read."""
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, between two parts."""
        self._stopping.set()
        self._reader.join()
        with self._asking:
            if self._database is not None:
                self._database.close()

    @property
    def version(self) -> str:
        """What differs when the contents differ."""
        self._store.mkdir(mode=0o700, exist_ok=True)  # it may be deleted at any time, and is made again
        names = sorted(path.name for path in self._store.iterdir() if not path.name.startswith("new-"))
        text = f"{names} {self.progress} {self.problem}"
        return blake2b(text.encode(), digest_size=8).hexdigest()

    def ask(self, question: Callable[[Database], _T]) -> _T:
        """Ask what is there now.

        No lock of the store is held: a page must not wait while a gigabyte is read. Parts do not change, so all that
        can happen is that one is gone, because it was merged; then the question is asked again.
        """
        with self._asking:
            for last in (False,) * (_TRIES - 1) + (True,):
                version = self.version
                try:
                    if self._database is None or version != self._version:
                        self._reopen(version)
                    assert self._database is not None  # noqa: S101 -- for mypy
                    return question(self._database)
                except Exception:
                    if last or version == self.version:
                        raise
        raise AssertionError  # unreachable

    def _reopen(self, version: str) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        self._database, self._version = Database(self._store), version

    def _read_what_is_new(self) -> None:
        seen = None
        while not self._stopping.is_set():
            sizes = _sizes(self.data)
            if sizes != seen:
                try:
                    with writing(self._store):
                        ingest(self.data, self._store, self._advance)
                    seen, self.problem = sizes, None
                except _Stopped:
                    return
                except (SandscopeError, OSError) as error:
                    self._report(str(error))
                finally:
                    self.progress = None
            self._stopping.wait(_INTERVAL)

    def _advance(self, done: int, total: int) -> None:
        self.progress = done, total
        if self._stopping.is_set():
            raise _Stopped

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            say(f"sandscope: {problem}")
        self.problem = problem


def _sizes(data: Path) -> list[tuple[str, int]]:
    """Return the Collector's files and their sizes: what says that there is something new."""
    paths = [*data.glob("*.jsonl"), *data.glob("[0-9]*/*.jsonl")]
    sizes = []
    for path in sorted(paths):
        try:
            sizes.append((str(path), path.stat().st_size))
        except OSError:  # it has just been rotated
            continue
    return sizes
