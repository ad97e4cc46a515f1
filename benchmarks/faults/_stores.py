"""The real stores, on free ports; they keep what they have when they are killed."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import sandscope_collector
from benchmarks.faults._killable import Killable
from sandscope_collector.stores import STORES, Progress, collector_environment, down, select, up

STORE_NAMES = ("prometheus", "jaeger", "loki")


class Stores(NamedTuple):
    """The stores that run.

    Attributes:
        processes: by name.
        addresses: of their HTTP interfaces, by name.
    """

    processes: Mapping[str, Killable]
    addresses: Mapping[str, str]


@contextmanager
def stores(data: Path) -> Iterator[Stores]:
    """Start the stores for the duration of a `with` block, and tell Collectors of them by environment variables.

    Args:
        data: a folder for all files; created.
    """
    names = [port.name for store in STORES.values() for port in store.ports]
    with ExitStack() as held:
        listeners = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        ports = {name: listener.getsockname()[1] for name, listener in zip(names, listeners, strict=True)}
    configuration = Path(sandscope_collector.configuration())
    with ExitStack() as ends:
        ends.callback(down, data)
        started = up(select(STORE_NAMES), configuration, data, Progress(io.StringIO()), ports=ports)
        os.environ.update(collector_environment(started.values()))
        processes = {}
        for name, entry in started.items():
            ready, log = f"{entry.url}{STORES[name].health}", data / f"{name}.again.log"
            processes[name] = Killable(name, entry.pid, ready, log)
            ends.callback(processes[name].end)
        yield Stores(processes, {name: entry.url for name, entry in started.items()})
