"""Check that the stores can use the requested ports."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from sandscope_collector.stores._catalogue import Store
from sandscope_collector.stores._state_file import StartedStore
from sandscope_collector.stores._stores_error import StoresError


def check_unchanged(running: Mapping[str, StartedStore], ports: Mapping[str, int]) -> None:
    """Raise an error if a different port is requested for a store that is already running.

    Args:
        running: the running stores, by name.
        ports: the requested port numbers, by the names of the ports.
    """
    for entry in running.values():
        for name, number in entry.ports.items():
            if ports.get(name, number) != number:
                raise StoresError(
                    f"Cannot move {entry.name!r} to port {ports[name]}: it is running on {number}. "
                    "Run `sandscope stores down` first."
                )


def check_free(stores: Iterable[Store], ports: Mapping[str, int]) -> None:
    """Raise an error that names the first port that is not free, and the option that changes it.

    Args:
        stores: the stores to start.
        ports: the number of every port, by name.
    """
    seen: dict[int, str] = {}
    for store in stores:
        for port in store.ports:
            number = ports[port.name]
            if number in seen:
                cause = f"{seen[number]} has the same number"
            elif not _is_free(number):
                cause = "another program is listening on it"
            else:
                seen[number] = port.flag
                continue
            raise StoresError(
                f"Cannot start {store.name!r} on port {number}: {cause}. Choose another port with {port.flag}."
            )


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
