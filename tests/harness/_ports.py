"""Free ports for what a test starts a moment later."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import fields
from random import SystemRandom

from sandscope._collector import Ports

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_OURS = range(12_000 + _WORKER % 4 * 5_000, 17_000 + _WORKER % 4 * 5_000)
"""What no other worker of pytest-xdist takes in the meantime, nor the system for a connection."""


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """Return a port for each name that nobody listens on now, all different."""
    with ExitStack() as held:
        return {name: _listen(held) for name in names}


def collector_ports(**chosen: int) -> Ports:
    """Return free ports for a Collector, except those that are chosen."""
    return Ports(**{**free_ports(field.name for field in fields(Ports)), **chosen})


def _listen(held: ExitStack) -> int:
    while True:
        port = SystemRandom().choice(_OURS)
        try:
            held.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue  # taken
        return port
