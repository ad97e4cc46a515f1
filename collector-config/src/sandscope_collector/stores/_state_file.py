"""The data folder, and the file in it that lists the started stores between two commands."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sandscope_collector.stores._store_process import start_time
from sandscope_collector.stores._stores_error import StoresError

_FILE = "state.json"


@dataclass(frozen=True)
class StartedStore:
    """A store that `up` started.

    Attributes:
        name: the name of the store.
        pid: its process id.
        started: when that process started, in the form that the operating system gives.
        ports: its port numbers by name; the first is that of its HTTP interface.
    """

    name: str
    pid: int
    started: str
    ports: Mapping[str, int]

    @property
    def url(self) -> str:
        """The address of its HTTP interface."""
        return f"http://127.0.0.1:{next(iter(self.ports.values()))}"

    @property
    def alive(self) -> bool:
        """Whether that process is still running."""
        return start_time(self.pid) == self.started


def data_folder(chosen: str | None = None) -> Path:
    """Return the folder for the stores' data, logs and state.

    Args:
        chosen: the folder to use instead of ``sandscope/stores`` in ``$XDG_STATE_HOME`` or ``~/.local/state``.
    """
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "sandscope" / "stores"


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    """Create the data folder, and lock it for one command.

    Raises:
        StoresError: if it cannot be created, if it contains other files, or if another command is using it.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = os.open(data, os.O_RDONLY)
    except OSError as error:
        raise StoresError(
            f"Cannot use the folder '{data}': {error.strerror}. Choose another folder with --data."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoresError(
                f"Cannot use the folder '{data}': another `sandscope stores` command is using it. "
                "Wait until that command has ended."
            ) from error
        if any(data.iterdir()) and not (data / _FILE).exists():
            # `down` removes what is in the folder, so it must contain nothing else.
            raise StoresError(
                f"Cannot use the folder '{data}': it contains other files. Choose an empty or new folder with --data."
            )
        yield
    finally:
        with contextlib.suppress(OSError):
            data.rmdir()  # if nothing was started, or nothing is left
        os.close(handle)


def read(data: Path) -> dict[str, StartedStore]:
    """Return the started stores by name.

    Raises:
        StoresError: if the file is damaged.
    """
    path = data / _FILE
    try:
        return {entry["name"]: StartedStore(**entry) for entry in json.loads(path.read_text())}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise StoresError(
            f"Cannot read '{path}': {error!r}. Stop any stores that are still running, then remove '{data}'."
        ) from error


def write(data: Path, running: Mapping[str, StartedStore]) -> None:
    """Replace the file in one step."""
    unfinished = data / f"{_FILE}.new"
    unfinished.write_text(json.dumps([asdict(entry) for entry in running.values()], indent=1) + "\n")
    unfinished.replace(data / _FILE)


def remove(data: Path) -> None:
    """Remove the file."""
    (data / _FILE).unlink(missing_ok=True)


def log(data: Path, name: str) -> Path:
    """Return the log file of a store."""
    return data / f"{name}.log"
