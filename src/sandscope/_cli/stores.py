"""``sandscope stores``: Prometheus, Jaeger, Loki and Alertmanager on this machine, without Docker."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sandscope import _stores
from sandscope._collector import Ports


def add_to(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the subcommand."""
    stores = subcommands.add_parser("stores", help="Prometheus, Jaeger, Loki and Alertmanager without Docker")
    actions = stores.add_subparsers(required=True, metavar="ACTION")
    names = argparse.ArgumentParser(add_help=False)
    names.add_argument(
        "names", nargs="*", metavar="STORE", help=f"of {', '.join(_stores.STORES)}; all by default"
    )
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", metavar="DIR", help="folder for data and logs, removed by `down`")

    build = actions.add_parser(
        "build", parents=[names], help="compile them (about 20 minutes the first time)"
    )
    build.set_defaults(handler=_build)
    up = actions.add_parser(
        "up",
        parents=[names, data],
        help="start them on loopback",
        description="Start the stores on loopback, wait until they are ready, and print the variables by "
        "which `sandscope collector run prometheus jaeger loki` finds them. Those that run are left alone.",
    )
    for store in _stores.STORES.values():
        for port in store.ports:
            up.add_argument(
                port.flag, type=_port, dest=port.name, metavar="PORT", help=f"{port.default} by default"
            )
    up.add_argument(
        "--scrape",
        metavar="HOST:PORT",
        help="the Collector's metrics page, for Prometheus to read (127.0.0.1:9464 by default)",
    )
    up.set_defaults(handler=_up)
    actions.add_parser("status", parents=[data], help="say how each is").set_defaults(handler=_status)
    actions.add_parser("down", parents=[data], help="end them and remove their data").set_defaults(
        handler=_down
    )


def _build(arguments: argparse.Namespace) -> int:
    progress = _stores.Progress(sys.stderr)
    configuration = _stores.configuration()
    stores = _installed_or_built(_stores.chosen(arguments.names), configuration, progress)
    for folder in _stores.build(stores, configuration, progress):
        print(folder)
    return 0


def _up(arguments: argparse.Namespace) -> int:
    progress = _stores.Progress(sys.stderr, every=2)
    configuration = _stores.configuration()
    stores = _stores.chosen(arguments.names)
    if not arguments.names:
        stores = _installed_or_built(stores, configuration, progress)
    chosen = {
        port.name: vars(arguments)[port.name] for store in _stores.STORES.values() for port in store.ports
    }
    running = _stores.up(
        stores,
        configuration,
        _stores.data_folder(arguments.data),
        progress,
        ports={name: number for name, number in chosen.items() if number is not None},
        scrape=arguments.scrape or f"127.0.0.1:{Ports.from_environment().prometheus}",
    )
    for name, value in _stores.collector_environment(running.values()).items():
        print(f"{name}={value}")
    return 0


def _installed_or_built(
    stores: list[_stores.Store], configuration: Path, progress: _stores.Progress
) -> list[_stores.Store]:
    """Leave out, with a word, those that come from the system's packages and are not installed."""
    left_out = [
        store for store in stores if not store.packages and not _stores.find_binary(store, configuration)
    ]
    for store in left_out:
        progress.say(f"{store.name} is left out: install it with `{_stores.remedy(store)}`")
    return [store for store in stores if store not in left_out]


def _status(arguments: argparse.Namespace) -> int:
    data = _stores.data_folder(arguments.data)
    entries = _stores.status(_stores.configuration(), data)
    for row in [("STORE", "STATE", "URL", "PID", "VERSION"), *map(_row, entries)]:
        print("{:<14}{:<11}{:<25}{:<9}{}".format(*row).rstrip())
    for entry in entries:
        if entry.state == "ended":
            print(f"{entry.name} ended by itself: read '{data / entry.name}.log'", file=sys.stderr)
    started = [entry for entry in entries if entry.running]
    return 0 if started and all(entry.state == "up" for entry in started) else 1


def _row(entry: _stores.Status) -> tuple[str, str, str, str, str]:
    where = (entry.running.url, str(entry.running.pid)) if entry.running else ("", "")
    return (entry.name, entry.state, *where, entry.version)


def _down(arguments: argparse.Namespace) -> int:
    ended = _stores.down(_stores.data_folder(arguments.data))
    print(f"ended {', '.join(ended)}" if ended else "nothing was up")
    return 0


def _port(word: str) -> int:
    if word.isdecimal() and 0 < int(word) < 65536:
        return int(word)
    raise argparse.ArgumentTypeError(f"{word!r} is not a port. Give a number from 1 to 65535.")
