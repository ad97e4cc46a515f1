"""Which ports the stores can have."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from sandscope._errors import SandscopeError
from sandscope._stores._catalogue import Store
from sandscope._stores._state import Running


def refuse_to_move(running: Mapping[str, Running], ports: Mapping[str, int]) -> None:
    """Raise when a store that runs was asked for on another port.

    Args:
        running: the stores that run, by name.
        ports: the numbers asked for, by the ports' names.
    """
    for entry in running.values():
        for name, number in entry.ports.items():
            if ports.get(name, number) != number:
                raise SandscopeError(
                    f"Cannot move {entry.name!r} to port {ports[name]}: it is up on {number}. "
                    "Run `sandscope stores down` first."
                )


def refuse_taken(stores: Iterable[Store], values: Mapping[str, int]) -> None:
    """Raise when a store cannot have its ports, naming the first such port and its flag.

    Args:
        stores: those that are to start.
        values: the number of every port, by name.
    """
    seen: dict[int, str] = {}
    for store in stores:
        for port in store.ports:
            number = values[port.name]
            if number in seen:
                cause = f"{seen[number]} has it too"
            elif not _free(number):
                cause = "another program listens there"
            else:
                seen[number] = port.flag
                continue
            raise SandscopeError(
                f"Cannot start {store.name!r} on port {number}: {cause}. Choose another with {port.flag}."
            )


def _free(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
