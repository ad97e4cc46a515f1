"""What was started, kept in the data folder between two commands."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sandscope._errors import SandscopeError
from sandscope._stores._process import start_time

_FILE = "state.json"


@dataclass(frozen=True)
class Running:
    """A store that was started.

    Attributes:
        name: the store's name.
        pid: its process id.
        started: when that process began, in the system's own form.
        ports: its ports by name; the first is that of its HTTP interface.
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
        """Whether that very process still runs."""
        return start_time(self.pid) == self.started


def data_folder(chosen: str | None = None) -> Path:
    """Return the folder for the stores' data, logs and state.

    Args:
        chosen: the one to use instead of the default below ``$XDG_STATE_HOME`` or ``~/.local/state``.
    """
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "sandscope" / "stores"


@contextlib.contextmanager
def claimed(data: Path) -> Iterator[None]:
    """Hold the data folder for one command, making it first.

    Raises:
        SandscopeError: when it cannot be made, is not ours, or another command holds it.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = os.open(data, os.O_RDONLY)
    except OSError as error:
        raise SandscopeError(
            f"Cannot use the folder '{data}': {error.strerror}. Name another one with --data."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SandscopeError(
                f"Cannot use the folder '{data}': another `sandscope stores` works in it. Wait for it to end."
            ) from error
        if any(data.iterdir()) and not (data / _FILE).exists():
            # `down` empties the folder: it must never be one with other things in it.
            raise SandscopeError(
                f"Cannot use the folder '{data}': it holds other files. Name an empty or new one with --data."
            )
        yield
    finally:
        with contextlib.suppress(OSError):
            data.rmdir()  # when nothing came of it, or nothing is left
        os.close(handle)


def read(data: Path) -> dict[str, Running]:
    """Read what was started, by name; nothing when nothing was.

    Raises:
        SandscopeError: when the file is damaged.
    """
    path = data / _FILE
    try:
        return {entry["name"]: Running(**entry) for entry in json.loads(path.read_text())}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise SandscopeError(
            f"Cannot read '{path}': {error!r}. End the stores by hand if any run, then remove '{data}'."
        ) from error


def write(data: Path, running: Mapping[str, Running]) -> None:
    """Write what was started, in one step."""
    unfinished = data / f"{_FILE}.new"
    unfinished.write_text(json.dumps([asdict(entry) for entry in running.values()], indent=1) + "\n")
    unfinished.replace(data / _FILE)


def forget(data: Path) -> None:
    """Remove the file."""
    (data / _FILE).unlink(missing_ok=True)
