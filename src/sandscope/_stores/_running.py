"""Start the stores, say how they are, end them."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandscope._errors import SandscopeError
from sandscope._stores import _binaries, _http, _ports, _process, _state
from sandscope._stores._catalogue import STORES, Store
from sandscope._stores._progress import Progress
from sandscope._stores._state import Running


@dataclass(frozen=True)
class Status:
    """How a store is.

    Attributes:
        name: the store's name.
        state: ``up``, ``not ready``, ``ended`` (by itself), ``down`` or ``absent`` (nothing to start).
        version: its version, where known.
        running: its process and ports, when it was started.
    """

    name: str
    state: str
    version: str
    running: Running | None


def up(
    stores: Sequence[Store],
    configuration: Path,
    data: Path,
    progress: Progress,
    *,
    ports: Mapping[str, int] | None = None,
    scrape: str = "127.0.0.1:9464",
    patience: float = 60.0,
) -> dict[str, Running]:
    """Start stores on loopback and wait until all are ready; those that run already are left as they are.

    Args:
        stores: which.
        configuration: the folder with a folder of configuration files for each store.
        data: the folder for data, logs and state.
        progress: where to say how far it is.
        ports: numbers by the ports' names, where they differ from the defaults.
        scrape: host and port of the Collector's metrics page.
        patience: seconds that a store has to become ready.

    Returns:
        Every store that runs now, by name.

    Raises:
        SandscopeError: when one cannot start; all that this call started has been ended then.
    """
    for store in stores:
        _binary(store, configuration)
    with _state.claimed(data):
        running = {name: entry for name, entry in _state.read(data).items() if entry.alive}
        _ports.refuse_to_move(running, ports or {})
        values = {port.name: port.default for store in STORES.values() for port in store.ports}
        values |= ports or {}
        for entry in running.values():
            values |= entry.ports
        started = [store for store in stores if store.name not in running]
        _ports.refuse_taken(started, values)
        _state.write(data, running)
        try:
            for store in started:
                running[store.name] = _start(store, configuration, data, values, scrape)
                _state.write(data, running)
            for store in stores:
                _await_ready(store, running[store.name], data, progress, patience)
        except BaseException:
            _end(data, [running.pop(store.name) for store in started if store.name in running])
            _state.write(data, running)
            raise
    return running


def status(configuration: Path, data: Path) -> list[Status]:
    """Say how every store is."""
    known = _state.read(data)
    return [
        Status(
            store.name,
            _state_of(store, known.get(store.name), configuration),
            _binaries.version(store, configuration),
            known.get(store.name),
        )
        for store in STORES.values()
    ]


def collector_environment(running: Iterable[Running]) -> dict[str, str]:
    """Return the variables by which the Collector's overlays find these stores."""
    return {
        name: value.format(**entry.ports)
        for entry in running
        for name, value in STORES[entry.name].collector.items()
    }


def down(data: Path) -> list[str]:
    """End what `up` started in this data folder, and remove all that it kept there.

    Returns:
        The names of the stores that were ended.
    """
    if not data.exists():
        return []
    with _state.claimed(data):
        known = _state.read(data)
        ended = [name for name, entry in known.items() if entry.alive]
        _end(data, known.values())
        for name in STORES:
            _log(data, name).unlink(missing_ok=True)
        _state.forget(data)
    return ended


def _binary(store: Store, configuration: Path) -> Path:
    path = _binaries.find_binary(store, configuration)
    if path is None:
        state = "not built" if store.packages else f"{store.binary} is not on PATH"
        raise SandscopeError(f"Cannot start {store.name!r}: {state}. Run `{_binaries.remedy(store)}`.")
    return path


def _start(store: Store, configuration: Path, data: Path, values: Mapping[str, int], scrape: str) -> Running:
    own = data / store.name
    shutil.rmtree(own, ignore_errors=True)
    shutil.copytree(
        configuration / store.name, own / "configuration", ignore=shutil.ignore_patterns("go.mod", "go.sum")
    )
    (own / "data").mkdir()
    words = {**values, "scrape": scrape, "configuration": own / "configuration", "data": own / "data"}
    for name, content in store.files.items():
        (own / "configuration" / name).write_text(content.format(**words))
    # The program's own telemetry settings are not the stores': they would send themselves their own traces.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "JAEGER_"))
    }
    environment |= {name: value.format(**words) for name, value in store.environment.items()}
    command = [str(_binary(store, configuration)), *(word.format(**words) for word in store.arguments)]
    try:
        pid = _process.start(command, environment, _log(data, store.name))
    except OSError as error:
        raise SandscopeError(
            f"Cannot start {store.name!r}: {error}. Run `{_binaries.remedy(store)}`."
        ) from error
    # A process that is gone at once has no start time any more; waiting for it finds that out.
    return Running(
        store.name,
        pid,
        _process.start_time(pid) or "",
        {port.name: values[port.name] for port in store.ports},
    )


def _await_ready(store: Store, entry: Running, data: Path, progress: Progress, patience: float) -> None:
    start = time.monotonic()
    while True:
        waited = time.monotonic() - start
        if not entry.alive:
            cause = "it ended at once" if waited < 1 else f"it ended after {waited:.0f} s"
        elif _ready(store, entry):
            progress.say(f"{store.name} is up at {entry.url}")
            return
        elif waited > patience:
            cause = f"it was not ready after {patience:.0f} s"
        else:
            progress.tick(f"waiting for {store.name}: {waited:.0f} s")
            time.sleep(0.1)
            continue
        log = _log(data, store.name)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        raise SandscopeError(
            f"Cannot start {store.name!r}: {cause}. Its last words:\n{tail}\nRead all in '{log}'."
        )


def _ready(store: Store, entry: Running) -> bool:
    try:
        _http.get(entry.url + store.health, timeout=2)
        for number in entry.ports.values():
            socket.create_connection(("127.0.0.1", number), timeout=2).close()
    except (_http.NoAnswerError, OSError):
        return False
    return True


def _state_of(store: Store, entry: Running | None, configuration: Path) -> str:
    if entry is None:
        return "down" if _binaries.find_binary(store, configuration) else "absent"
    if not entry.alive:
        return "ended"
    return "up" if _ready(store, entry) else "not ready"


def _end(data: Path, entries: Iterable[Running]) -> None:
    """End processes and remove their data; the logs stay, to be read after a failure."""
    entries = list(entries)
    _process.end((entry.pid, entry.started) for entry in entries)
    for entry in entries:
        shutil.rmtree(data / entry.name, ignore_errors=True)


def _log(data: Path, name: str) -> Path:
    return data / f"{name}.log"
