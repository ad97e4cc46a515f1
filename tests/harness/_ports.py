"""Free ports for servers that a test starts a moment later."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import fields
from random import SystemRandom

from sandscope._collector import Ports

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_RANGE = range(12_000 + _WORKER % 4 * 5_000, 17_000 + _WORKER % 4 * 5_000)
"""Ports that are used neither by other workers of pytest-xdist nor by the system for outgoing connections."""


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """Return a different free port for each name."""
    with ExitStack() as held:
        return {name: _listen(held) for name in names}


def collector_ports(**chosen: int) -> Ports:
    """Return free ports for a Collector, except those that are chosen."""
    return Ports(**{**free_ports(field.name for field in fields(Ports)), **chosen})


def _listen(held: ExitStack) -> int:
    while True:
        port = SystemRandom().choice(_RANGE)
        try:
            held.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue  # in use
        return port
