"""Start the stores and wait until they are ready."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sandscope_collector.stores import _binaries, _state_file, _store_ports, _store_process
from sandscope_collector.stores._catalogue import STORES, Store
from sandscope_collector.stores._down import stop
from sandscope_collector.stores._progress import Progress
from sandscope_collector.stores._state_file import StartedStore
from sandscope_collector.stores._status import is_ready
from sandscope_collector.stores._stores_error import StoresError


def up(
    stores: Sequence[Store],
    configuration: Path,
    data: Path,
    progress: Progress,
    *,
    ports: Mapping[str, int] | None = None,
    scrape: str = "127.0.0.1:9464",
    timeout: float = 60.0,
) -> dict[str, StartedStore]:
    """Start stores on loopback and wait until all are ready; a store that is already running is left as it is.

    Args:
        stores: the stores to start.
        configuration: the folder with one folder of configuration files for each store.
        data: the folder for data, logs and the state file.
        progress: where to report progress.
        ports: port numbers by the names of the ports, where they differ from the defaults.
        scrape: host and port of the Collector's metrics page.
        timeout: how long each store may take to become ready, in seconds.

    Returns:
        Every running store, by name.

    Raises:
        StoresError: if a store cannot start; all stores that this call started have then been stopped.
    """
    for store in stores:
        _binary(store, configuration)
    with _state_file.locked(data):
        running = {name: entry for name, entry in _state_file.read(data).items() if entry.alive}
        _store_ports.check_unchanged(running, ports or {})
        numbers = {port.name: port.default for store in STORES.values() for port in store.ports}
        numbers |= ports or {}
        for entry in running.values():
            numbers |= entry.ports
        missing = [store for store in stores if store.name not in running]
        _store_ports.check_free(missing, numbers)
        _state_file.write(data, running)
        try:
            for store in missing:
                running[store.name] = _start(store, configuration, data, numbers, scrape)
                _state_file.write(data, running)
            for store in stores:
                _await_ready(store, running[store.name], data, progress, timeout)
        except BaseException:
            stop(data, [running.pop(store.name) for store in missing if store.name in running])
            _state_file.write(data, running)
            raise
    return running


def collector_environment(running: Iterable[StartedStore]) -> dict[str, str]:
    """Return the variables that tell the Collector's overlays the addresses of these stores."""
    return {
        name: value.format(**entry.ports)
        for entry in running
        for name, value in STORES[entry.name].collector.items()
    }


def _binary(store: Store, configuration: Path) -> Path:
    path = _binaries.find_binary(store, configuration)
    if path is None:
        cause = "it is not built" if store.packages else f"{store.binary} is not on PATH"
        raise StoresError(f"Cannot start {store.name!r}: {cause}. Run `{_binaries.install_command(store)}`.")
    return path


def _start(
    store: Store, configuration: Path, data: Path, numbers: Mapping[str, int], scrape: str
) -> StartedStore:
    folder = data / store.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        configuration / store.name,
        folder / "configuration",
        ignore=shutil.ignore_patterns("go.mod", "go.sum"),
    )
    _copy_own_files(store, folder / "configuration")
    (folder / "data").mkdir()
    values = {
        **numbers,
        "scrape": scrape,
        "configuration": folder / "configuration",
        "data": folder / "data",
    }
    for name, content in store.files.items():
        (folder / "configuration" / name).write_text(content.format(**values))
    command = [str(_binary(store, configuration)), *(word.format(**values) for word in store.arguments)]
    try:
        pid = _store_process.start(command, _environment(store, values), _state_file.log(data, store.name))
    except OSError as error:
        raise StoresError(
            f"Cannot start {store.name!r}: {error}. Run `{_binaries.install_command(store)}`."
        ) from error
    # A process that has already ended has no start time; waiting for the store to be ready reports that.
    started = _store_process.start_time(pid) or ""
    return StartedStore(store.name, pid, started, {port.name: numbers[port.name] for port in store.ports})


def _copy_own_files(store: Store, configuration: Path) -> None:
    for variable, name in store.own_files.items():
        if own := os.environ.get(variable):
            try:
                shutil.copyfile(own, configuration / name)
            except OSError as error:
                raise StoresError(
                    f"Cannot start {store.name!r}: {variable} names {own!r}, and {error}. Name a file that exists."
                ) from error


def _environment(store: Store, values: Mapping[str, object]) -> dict[str, str]:
    # With the program's own telemetry settings, a store would send its own traces to the Collector.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "JAEGER_"))
    }
    return environment | {name: value.format(**values) for name, value in store.environment.items()}


def _await_ready(store: Store, entry: StartedStore, data: Path, progress: Progress, timeout: float) -> None:
    start = time.monotonic()
    while True:
        waited = time.monotonic() - start
        if not entry.alive:
            cause = "it exited at once" if waited < 1 else f"it exited after {waited:.0f} s"
        elif is_ready(store, entry):
            progress.say(f"{store.name} is up at {entry.url}")
            return
        elif waited > timeout:
            cause = f"it was not ready after {timeout:.0f} s"
        else:
            progress.tick(f"waiting for {store.name}: {waited:.0f} s")
            time.sleep(0.1)
            continue
        log = _state_file.log(data, store.name)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        raise StoresError(
            f"Cannot start {store.name!r}: {cause}. Its log ends with:\n{tail}\nRead the whole log in '{log}'."
        )
