"""The subcommand `sandscope stores`; the command line of the distribution `sandscope` adds it to its own."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import sandscope_collector
from sandscope_collector import stores
from sandscope_collector.stores import STORES, Progress, Store, StoreStatus


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the actions to the parser of the subcommand; each sets ``action``, which returns the exit code."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    names = argparse.ArgumentParser(add_help=False)
    names.add_argument("names", nargs="*", metavar="STORE", help=f"{', '.join(STORES)} (default: all)")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", metavar="DIR", help="the folder for data and logs; `down` removes it")

    build = actions.add_parser("build", parents=[names], help="compile the stores (about 20 minutes, once)")
    build.set_defaults(action=_build)
    up = actions.add_parser(
        "up",
        parents=[names, data],
        help="start the stores on loopback",
        description="Start the stores on loopback, wait until they are ready, and print the environment "
        "variables that tell `sandscope collector run prometheus jaeger loki` their addresses. "
        "Stores that are already running are left as they are.",
    )
    for store in STORES.values():
        for port in store.ports:
            up.add_argument(
                port.flag, type=_port, dest=port.name, metavar="PORT", help=f"default: {port.default}"
            )
    up.add_argument(
        "--scrape",
        metavar="HOST:PORT",
        help="the Collector's metrics page, which Prometheus scrapes "
        "(default: port SANDSCOPE_PROMETHEUS_PORT, else 9464, on 127.0.0.1)",
    )
    up.set_defaults(action=_up)
    status = actions.add_parser("status", parents=[data], help="show whether each store is running and ready")
    status.set_defaults(action=_status)
    down = actions.add_parser("down", parents=[data], help="stop the stores and remove their data")
    down.set_defaults(action=_down)


def _build(arguments: argparse.Namespace) -> int:
    progress, configuration = Progress(sys.stderr), sandscope_collector.configuration()
    selected = _without_missing_packages(stores.select(arguments.names), configuration, progress)
    for folder in stores.build(selected, configuration, progress):
        print(folder)
    return 0


def _up(arguments: argparse.Namespace) -> int:
    progress, configuration = Progress(sys.stderr, every=2), sandscope_collector.configuration()
    selected = stores.select(arguments.names)
    if not arguments.names:
        selected = _without_missing_packages(selected, configuration, progress)
    ports = {port.name: vars(arguments)[port.name] for store in STORES.values() for port in store.ports}
    running = stores.up(
        selected,
        configuration,
        stores.data_folder(arguments.data),
        progress,
        ports={name: number for name, number in ports.items() if number is not None},
        scrape=arguments.scrape or _metrics_page(),
    )
    for name, value in stores.collector_environment(running.values()).items():
        print(f"{name}={value}")
    return 0


def _metrics_page() -> str:
    """Return host and port of the Collector's metrics page, as its overlay `prometheus` chooses them."""
    port = os.environ.get("SANDSCOPE_PROMETHEUS_PORT") or "9464"
    if not _is_port(port):
        raise stores.StoresError(
            f"Cannot use SANDSCOPE_PROMETHEUS_PORT={port!r}: it is not a port. Give a number from 1 to 65535."
        )
    return f"127.0.0.1:{port}"


def _without_missing_packages(selected: list[Store], configuration: Path, progress: Progress) -> list[Store]:
    """Leave out the stores that come from system packages and are not installed, and report each."""
    missing = [
        store for store in selected if not store.packages and not stores.find_binary(store, configuration)
    ]
    for store in missing:
        progress.say(f"skipping {store.name}, which is not installed: `{stores.install_command(store)}`")
    return [store for store in selected if store not in missing]


def _status(arguments: argparse.Namespace) -> int:
    data = stores.data_folder(arguments.data)
    entries = stores.status(sandscope_collector.configuration(), data)
    for row in [("STORE", "STATE", "URL", "PID", "VERSION"), *map(_row, entries)]:
        print("{:<14}{:<11}{:<25}{:<9}{}".format(*row).rstrip())
    for entry in entries:
        if entry.state == "exited":
            print(f"{entry.name} exited by itself: read '{data / entry.name}.log'", file=sys.stderr)
    started = [entry for entry in entries if entry.started]
    return 0 if started and all(entry.state == "up" for entry in started) else 1


def _row(entry: StoreStatus) -> tuple[str, str, str, str, str]:
    where = (entry.started.url, str(entry.started.pid)) if entry.started else ("", "")
    return (entry.name, entry.state, *where, entry.version)


def _down(arguments: argparse.Namespace) -> int:
    stopped = stores.down(stores.data_folder(arguments.data))
    print(f"stopped {', '.join(stopped)}" if stopped else "no store was running")
    return 0


def _port(word: str) -> int:
    if not _is_port(word):
        raise argparse.ArgumentTypeError(f"{word!r} is not a port. Give a number from 1 to 65535.")
    return int(word)


def _is_port(word: str) -> bool:
    return word.isdecimal() and 0 < int(word) < 65536
