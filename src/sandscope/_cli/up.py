"""`sandscope up`: a Collector and the page in the background, and the stores if they are asked for."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from sandscope._cli import _background, _started
from sandscope._cli._collector_options import (
    DEFAULT_OVERLAY,
    add_data_to,
    add_ports_to,
    data_folder,
    overlay_list,
    ports_of,
)
from sandscope._cli._page import start_page
from sandscope._cli._patience import Patience
from sandscope._cli._started import Process, Started
from sandscope._cli._up_stores import OVERLAYS, start_stores, stop_stores
from sandscope._cli.down import stop_rest
from sandscope._collector import Composition, find_otelcol
from sandscope._collector._credentials import credentials_for
from sandscope._collector._ports import Ports
from sandscope._errors import SandscopeError
from sandscope._say import say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.description = (
        "Start the Collector and the page of `sandscope view` in the background, and say where to send telemetry and "
        "where to look at it. They run until `sandscope down`. If they run already, they are left as they are."
    )
    parser.epilog = overlay_list()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--with",
        dest="overlays",
        action="append",
        metavar="OVERLAY",
        help="an overlay or a YAML file; may be repeated (default: local)",
    )
    parser.add_argument(
        "--stores",
        action="store_true",
        help="also Prometheus, Jaeger and Loki (first: sandscope stores build)",
    )
    parser.add_argument(
        "--page", action=argparse.BooleanOptionalAction, default=True, help="the page (default: with `local`)"
    )
    add_ports_to(parser)
    add_data_to(parser)
    parser.set_defaults(handler=_up)


def _up(arguments: argparse.Namespace) -> int:
    data, chosen = data_folder(arguments)
    option = f" --data {shlex.quote(str(data))}" if chosen else ""
    with _started.alone(data):
        before = _started.read(data)
        if before is not None and before.collector.runs:
            print(f"it runs already: {_where(before, option)}")
            return 0
        if before is not None:
            stop_rest(before, data)  # the Collector has ended without them
        find_otelcol()
        started = _start(arguments, data)
        if arguments.page and "local" in (arguments.overlays or ["local"]):
            started = _with_page(started, data)
    print(f"ready: {_where(started, option)}")
    return 0


def _start(arguments: argparse.Namespace, data: Path) -> Started:
    if arguments.stores:
        os.environ.update(start_stores(data, Ports(**ports_of(arguments)).prometheus))
        arguments.overlays = [*(arguments.overlays or ["local"]), *OVERLAYS]
    arguments.data = data  # no other, also if a Collector writes there: `down` must find it
    started = None
    try:
        pid, result = _background.start(arguments, data / "up.log")
        started = Started(Process(pid, _started.start_of(pid) or ""), stores=arguments.stores)
        _started.write(data, started)
        started = started._replace(endpoint=_background.endpoint(result, Patience("starting the Collector")))
        credentials = credentials_for(Composition.of(*(arguments.overlays or [DEFAULT_OVERLAY])))
        started = started._replace(credentials=str(credentials or ""))
        _started.write(data, started)
    except BaseException as error:
        if started is not None:
            started.collector.stop(Patience("stopping the Collector"))
        if arguments.stores:
            stop_stores(data)
        _started.forget(data)
        if isinstance(error, OSError):
            raise SandscopeError(f"Cannot start the Collector: {error}. Look at {str(data)!r}.") from error
        raise
    return started


def _with_page(started: Started, data: Path) -> Started:
    try:
        page, address = start_page(data, Patience("starting the page"))
    except SandscopeError as error:
        say(f"sandscope: the page did not start: {error}")
        return started
    started = started._replace(page=page, address=address)
    _started.write(data, started)
    return started


def _where(started: Started, option: str) -> str:
    page = started.address if started.page is not None and started.page.runs else f"sandscope view{option}"
    variables = f"OTEL_EXPORTER_OTLP_ENDPOINT={started.endpoint} {started.credentials}".strip()
    return (
        f"export {variables} for your programs; to look at them: "
        f"{page} or sandscope top{option}; to stop: sandscope down{option}"
    )
