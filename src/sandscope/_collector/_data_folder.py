"""The folder for a Collector's files, which only one Collector at a time may use."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from sandscope._errors import SandscopeError

LOG = "otelcol.log"


class FolderInUseError(SandscopeError):
    """Another Collector writes to the folder."""


def make_folder(data: Path) -> None:
    """Create the folder if it is missing.

    Raises:
        SandscopeError: if this is not possible.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(data, error) from error


def open_log(data: Path, *, keep: bool = False) -> BinaryIO:
    """Create the folder if it is missing, and open the Collector's own log in it, empty unless it is kept.

    The log is locked for as long as this process or a child that inherited the file has it open: the folder is in use
    until the Collector ends, however this process ends.

    Raises:
        FolderInUseError: if another Collector uses the folder.
        SandscopeError: if the folder cannot be created or written to.
    """
    make_folder(data)
    try:
        # Only its owner may read it, as the files of telemetry.
        descriptor = os.open(data / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(data, error) from error
    log = os.fdopen(descriptor, "wb", buffering=0)
    try:
        _lock(descriptor)
        os.fchmod(descriptor, 0o600)
        if not keep:
            os.ftruncate(descriptor, 0)
    except BlockingIOError:
        log.close()
        raise FolderInUseError(
            f"Cannot write to {str(data)!r}: another Collector writes its files there. "
            "Choose another folder with --data."
        ) from None
    except OSError as error:
        log.close()
        raise _unusable(data, error) from error
    return log


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass  # a file system without locks


def _unusable(data: Path, error: OSError) -> SandscopeError:
    # For a folder that exists, mkdir says this only if it is something else.
    cause = (
        "it is not a folder" if isinstance(error, FileExistsError) else (error.strerror or str(error)).lower()
    )
    return SandscopeError(
        f"Cannot write to {str(data)!r}: {cause}. Choose another folder with --data or SANDSCOPE_DATA."
    )
