"""Stop the stores and remove their data."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from sandscope_collector.stores import _state_file, _store_process
from sandscope_collector.stores._catalogue import STORES
from sandscope_collector.stores._state_file import StartedStore


def down(data: Path) -> list[str]:
    """Stop every store that `up` started with this data folder, and remove the folder.

    Args:
        data: the folder that was given to `up`.

    Returns:
        The names of the stores that were running.

    Raises:
        StoresError: if the folder contains other files, or if another command is using it.
    """
    if not data.exists():
        return []
    with _state_file.locked(data):
        started = _state_file.read(data)
        running = [name for name, entry in started.items() if entry.alive]
        stop(data, started.values())
        for name in STORES:
            _state_file.log(data, name).unlink(missing_ok=True)
        _state_file.remove(data)
    return running


def stop(data: Path, entries: Iterable[StartedStore]) -> None:
    """Stop stores and remove their data; their logs are kept, to explain a failure."""
    entries = list(entries)
    _store_process.stop((entry.pid, entry.started) for entry in entries)
    for entry in entries:
        shutil.rmtree(data / entry.name, ignore_errors=True)
