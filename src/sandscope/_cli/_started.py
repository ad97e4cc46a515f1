"""What `sandscope up` has started, remembered in the data folder for `sandscope down`."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sandscope import _process_start
from sandscope._errors import SandscopeError

_FILE, _LOCK = "up.json", "up.lock"


class Process(NamedTuple):
    """A process that continues when the command has ended.

    Attributes:
        pid: its id.
        since: when it started: its id may belong to another process by now.
    """

    pid: int
    since: str

    @property
    def runs(self) -> bool:
        """Whether this process still runs."""
        return start_of(self.pid) == self.since

    def stop(self, still: Callable[[], object], timeout: float = 15.0) -> None:
        """End the process, if it is still the same.

        Args:
            still: is called now and then while it takes.
            timeout: seconds after which it is killed; a Collector first exports what it has received.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + timeout
            if self.runs:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)
            while self.runs and time.monotonic() < deadline:
                time.sleep(0.05)
                still()


class Started(NamedTuple):
    """What runs.

    Attributes:
        collector: the process that runs the Collector.
        endpoint: for `OTEL_EXPORTER_OTLP_ENDPOINT`; empty until it is ready.
        credentials: further variables for programs, as a shell takes them; without secrets.
        stores: whether the stores were started, too.
        page: the process that serves the page, if there is one.
        address: the page's, with its token.
    """

    collector: Process
    endpoint: str = ""
    stores: bool = False
    page: Process | None = None
    address: str = ""
    credentials: str = ""


def start_of(pid: int) -> str | None:
    """Return when a process started, for comparison; None if it does not run."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    if sys.platform != "linux":
        listed = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
        state, _, since = listed.partition(" ")
        return None if not since or state.startswith("Z") else since.strip()
    try:
        return f"{_process_start.boot_id()}/{_process_start.start_of(pid)}"
    except OSError:
        return None


def read(data: Path) -> Started | None:
    """Return what was started, whether it still runs or not.

    Raises:
        SandscopeError: if the file is damaged.
    """
    path = data / _FILE
    try:
        return _started(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise SandscopeError(
            f"Cannot use {str(path)!r}: it is not a file that `sandscope up` wrote ({error!r}). "
            "Stop the Collector if it still runs, and remove this file."
        ) from error


def write(data: Path, started: Started) -> None:
    """Remember it; only the owner may read it, because the page's address has its token."""
    unfinished = data / f"{_FILE}.new"
    unfinished.touch(mode=0o600)
    values = started._asdict()
    values["collector"] = started.collector._asdict()
    values["page"] = started.page and started.page._asdict()
    unfinished.write_text(json.dumps(values) + "\n", encoding="utf-8")
    unfinished.replace(data / _FILE)


def forget(data: Path) -> None:
    """Remove the file."""
    (data / _FILE).unlink(missing_ok=True)


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Keep other `up` and `down` of this folder away.

    Raises:
        SandscopeError: if the folder cannot be used, or if another command is using it.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        cause = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise SandscopeError(
            f"Cannot use {str(data)!r}: {cause}. Choose another folder with --data."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SandscopeError(
                f"Cannot use {str(data)!r}: another `sandscope up` or `down` is using it. Wait until it has ended."
            ) from None
        yield
    finally:
        os.close(descriptor)


def _started(values: dict[str, Any]) -> Started:
    page = values["page"]
    started = Started(
        **{
            **values,
            "collector": _process(values["collector"]),
            "page": None if page is None else _process(page),
        }
    )
    texts = (started.endpoint, started.address, started.credentials)
    if {type(text) for text in texts} != {str} or type(started.stores) is not bool:
        raise ValueError(values)
    return started


def _process(values: dict[str, Any]) -> Process:
    process = Process(**values)
    if [type(value) for value in process] != [int, str] or process.pid < 1:
        raise ValueError(values)
    return process
