"""Report whether each store is running and ready."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from sandscope_collector.stores import _binaries, _state_file
from sandscope_collector.stores._catalogue import STORES, Store
from sandscope_collector.stores._state_file import StartedStore

HOST = "127.0.0.1"


@dataclass(frozen=True)
class StoreStatus:
    """The status of one store.

    Attributes:
        name: the name of the store.
        state: ``up``, ``not ready``, ``exited`` (it ended without `down`), ``down``, or ``missing`` (neither
            built nor installed).
        version: its version, if known.
        started: its process and ports, if `up` started it.
    """

    name: str
    state: str
    version: str
    started: StartedStore | None


def status(configuration: Path, data: Path) -> list[StoreStatus]:
    """Return the status of every store.

    Args:
        configuration: the folder with one folder of configuration files for each store.
        data: the folder that was given to `up`.
    """
    started = _state_file.read(data)
    return [
        StoreStatus(
            store.name,
            _state(store, started.get(store.name), configuration),
            _binaries.version(store, configuration),
            started.get(store.name),
        )
        for store in STORES.values()
    ]


def is_ready(store: Store, entry: StartedStore) -> bool:
    """Return whether a started store passes its health check and listens on all of its ports."""
    first, *others = entry.ports.values()
    try:
        # Unlike urllib, http.client uses no proxy, which could not reach loopback.
        with closing(HTTPConnection(HOST, first, timeout=2)) as connection:
            connection.request("GET", store.health)
            healthy = connection.getresponse().status == 200
        for number in others:
            socket.create_connection((HOST, number), timeout=2).close()
    except (OSError, HTTPException):
        return False
    return healthy


def _state(store: Store, entry: StartedStore | None, configuration: Path) -> str:
    if entry is None:
        return "down" if _binaries.find_binary(store, configuration) else "missing"
    if not entry.alive:
        return "exited"
    return "up" if is_ready(store, entry) else "not ready"
