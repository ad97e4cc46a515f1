"""Command-line options for a Collector, and their meaning; common to `run` and `collector`."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from pathlib import Path

from sandscope._collector import Ports
from sandscope._collector._composition import overlays
from sandscope._collector._ports import KNOWN_TO_OTHERS, chosen_ports, flag, variable
from sandscope._errors import SandscopeError

DEFAULT_OVERLAY = "local"
_DATA = "SANDSCOPE_DATA"
_DEFAULT_FOLDER = "sandscope-data"
_PURPOSES = {
    "otlp_grpc": "OTLP over gRPC",
    "otlp_http": "OTLP over HTTP",
    "health": "the health check",
    "prometheus": "the page that Prometheus scrapes",
    "browser": "OTLP over HTTP from browsers",
    "own_metrics": "its own metrics, which it sends to itself",
}


def overlay_list() -> str:
    """Return the end of a help text: each overlay, with what it adds."""
    try:
        known = overlays()
    except SandscopeError as error:
        return str(error)
    width = max(map(len, known))
    return "\n".join(["overlays:", *(f"  {name:{width}}  {adds}" for name, adds in known.items())])


def add_destination_to(parser: argparse.ArgumentParser) -> None:
    """Register the options that say where a program's telemetry goes: to a Collector of its own by default."""
    parser.epilog = overlay_list()
    parser.add_argument(
        "--collector",
        metavar="URL",
        help="send to this Collector, such as http://localhost:4318, instead of starting one",
    )
    parser.add_argument(
        "--with",
        dest="overlays",
        action="append",
        metavar="OVERLAY",
        help="an overlay or a YAML file for the Collector; may be repeated (default: local)",
    )
    add_data_to(parser)
    add_ports_to(parser, free=True)


def add_ports_to(parser: argparse.ArgumentParser, *, free: bool = False) -> None:
    """Register an option for each port on which the Collector listens.

    Args:
        parser: the parser of the subcommand.
        free: whether the default is a free port, where others need not know the number.
    """
    for field in fields(Ports):
        default = "a free one" if free and field.name not in KNOWN_TO_OTHERS else field.default
        parser.add_argument(
            flag(field.name),
            type=int,
            metavar="PORT",
            help=f"for {_PURPOSES[field.name]} (default: {variable(field.name)}, else {default})",
        )


def add_data_to(parser: argparse.ArgumentParser) -> None:
    """Register the option for the folder of the Collector's files."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=f"the folder for the Collector's files (default: {_DATA}, else {_DEFAULT_FOLDER})",
    )


def ports_of(arguments: argparse.Namespace) -> dict[str, int]:
    """Return the ports chosen by the options of `add_ports_to`, else by the environment; others are absent."""
    return chosen_ports(**{field.name: getattr(arguments, f"{field.name}_port") for field in fields(Ports)})


def data_folder(arguments: argparse.Namespace) -> tuple[Path, bool]:
    """Return the folder for the Collector's files, and whether the user has chosen it."""
    chosen = arguments.data or os.environ.get(_DATA)
    return Path(chosen or _DEFAULT_FOLDER).absolute(), bool(chosen)
