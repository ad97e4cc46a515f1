"""Where the spool is: one folder for each endpoint and service, which only this user can read."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

_ENDPOINT, _SERVICE = 16, 8
"""Digits of the digests in a folder's name."""


class Spool(NamedTuple):
    """Where requests are kept.

    Attributes:
        base: the folder.
        limit: the bytes that it may have.
        service: the ``service.name`` of this process.
        is_expected: whether somebody has said where the Collector is. Otherwise, nothing is kept until it has answered:
            a program that nobody observes would fill the disk.
    """

    base: Path
    limit: int
    service: str
    is_expected: bool


def folder_for(base: Path, endpoint: str, service: str) -> Path:
    """Return the folder for the requests of a service to an endpoint.

    Their digests are its name: what is kept goes to no other endpoint, and the endpoint, which may have a password in
    it, is not on disk.

    Args:
        base: the folder of the spool.
        endpoint: the URL for one signal.
        service: the ``service.name``.
    """
    return base / f"{_digest(endpoint)[:_ENDPOINT]}-{_digest(service)[:_SERVICE]}"


def folders_for(base: Path, endpoint: str) -> list[Path]:
    """Return the folders that there are for an endpoint, of all services."""
    return sorted(path for path in base.glob(f"{_digest(endpoint)[:_ENDPOINT]}-*") if is_private(path))


def is_private(folder: Path) -> bool:
    """Return whether a folder is this user's, and nobody else can write to it."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def make_private(folder: Path) -> None:
    """Create a folder, and the one in which it is, that only this user can read.

    Raises:
        OSError: if this is not possible, or if others can write to one that is there.
    """
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_private(each):
            raise PermissionError(f"users other than this one can write to {each}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
