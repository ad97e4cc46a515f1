"""`sandscope collector`: run the Collector without a program, or inspect it."""

from __future__ import annotations

import argparse
import subprocess
from typing import Any

from sandscope._cli._collector_options import (
    DEFAULT_OVERLAY,
    add_data_to,
    add_ports_to,
    data_folder,
    overlay_list,
    ports_of,
)
from sandscope._cli._foreground import run_in_foreground
from sandscope._collector import Composition, Ports, find_otelcol, validate
from sandscope._collector._collector_process import environment_for

_OVERLAYS = f"an overlay, or the path of a YAML file (default: {DEFAULT_OVERLAY})"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's actions and their options."""
    shown: Any = {"epilog": overlay_list(), "formatter_class": argparse.RawDescriptionHelpFormatter}
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    path = actions.add_parser("path", help="print the path of the Collector's binary, otelcol")
    path.set_defaults(handler=_path)
    run = actions.add_parser("run", help="run the Collector in the foreground", **shown)
    run.add_argument("overlays", nargs="*", metavar="OVERLAY", help=_OVERLAYS)
    run.add_argument(
        "--print-config",
        action="store_true",
        help="print the configuration that the Collector makes of the files, without secrets, and do not start it",
    )
    add_ports_to(run)
    add_data_to(run)
    run.set_defaults(handler=_run)
    check = actions.add_parser(
        "validate", help="check a configuration without starting the Collector", **shown
    )
    check.add_argument("overlays", nargs="*", metavar="OVERLAY", help=_OVERLAYS)
    check.set_defaults(handler=_validate, data=None)
    components = actions.add_parser("components", help="list the Collector's components")
    components.set_defaults(handler=_components)
    from sandscope._cli import _certificates_command

    _certificates_command.configure(
        actions.add_parser(
            "certificates", help="make certificates and a token for the overlays secure and mutual-tls"
        )
    )
    for action in (path, run, check, components):
        action.add_argument("--otelcol", metavar="FILE", help="the otelcol to use")


def _path(arguments: argparse.Namespace) -> int:
    print(find_otelcol(arguments.otelcol))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    if arguments.print_config:
        return _print_config(arguments)
    return run_in_foreground(arguments, otelcol=find_otelcol(arguments.otelcol))


def _print_config(arguments: argparse.Namespace) -> int:
    composition = Composition.of(*(arguments.overlays or [DEFAULT_OVERLAY]))
    otelcol = find_otelcol(arguments.otelcol)
    environment = environment_for(Ports(**ports_of(arguments)), data_folder(arguments)[0])
    validate(otelcol, composition, environment)
    command = [str(otelcol), "print-config", *composition.arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def _validate(arguments: argparse.Namespace) -> int:
    composition = Composition.of(*(arguments.overlays or [DEFAULT_OVERLAY]))
    environment = environment_for(Ports.from_environment(), data_folder(arguments)[0])
    validate(find_otelcol(arguments.otelcol), composition, environment)
    print(f"{composition}: valid")
    return 0


def _components(arguments: argparse.Namespace) -> int:
    return subprocess.run([find_otelcol(arguments.otelcol), "components"], check=False).returncode
