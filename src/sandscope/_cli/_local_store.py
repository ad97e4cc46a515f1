"""The local store as the subcommands use it: what the Collector has written so far, ready for queries."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sandscope._cli._collector_options import data_folder
from sandscope._errors import SandscopeError

if TYPE_CHECKING:
    from sandscope._store import Database

NEEDED = ("duckdb", "nanoarrow", "orjson", "rich")
_PATIENCE = 1.0
"""Seconds after which progress is shown."""


@contextmanager
def local_store(arguments: argparse.Namespace, *, shows_progress: bool = True) -> Iterator[Database]:
    """Yield the tables of the data folder that the options name, with all that is in it now.

    Args:
        arguments: those of `add_data_to`.
        shows_progress: whether it says how far it is, if it takes long.

    Raises:
        SandscopeError: if the folder is not there, or something is not installed.
    """
    check_installed(NEEDED)
    from sandscope._store import Database, ingest, reading, writing

    data = existing_folder(arguments)
    store = data / "store"
    with writing(store):
        ingest(data, store, _Progress() if shows_progress else _silent)
    with reading(store), Database(store) as database:
        yield database


def check_installed(names: Sequence[str]) -> None:
    """Raise a SandscopeError if something is missing that the local store needs."""
    absent = [name for name in names if find_spec(name) is None]
    if absent:
        raise SandscopeError(
            f"Cannot read the local store: {', '.join(absent)} is not installed. "
            "Install it with: pip install 'sandscope[view]'"
        )


def existing_folder(arguments: argparse.Namespace) -> Path:
    """Return the data folder that the options name.

    Raises:
        SandscopeError: if it is not there.
    """
    data, _ = data_folder(arguments)
    if not data.is_dir():
        raise SandscopeError(
            f"Cannot read {str(data)!r}: there is no such folder. Record something with: "
            "sandscope run -- python app.py, or name the folder with --data."
        )
    return data


def _silent(done: int, total: int) -> None:
    pass


class _Progress:
    """Says how far it is, on a terminal, if it takes long."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if not sys.stderr.isatty() or time.monotonic() - self._start < _PATIENCE:
            return
        end = "\r\033[K" if done == total else ""
        sys.stderr.write(f"\rsandscope: reading the Collector's files: {100 * done // total} %{end}")
        sys.stderr.flush()
