"""`sandscope collector`: run the Collector without a program, or inspect it."""

from __future__ import annotations

import argparse
import os
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from sandscope._collector import Composition, Ports, find_otelcol, validate
from sandscope._collector._collector_process import environment_for, listening
from sandscope._collector._ports import HOST, flag, variable

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_OVERLAY = "local"
OVERLAYS = (
    "an overlay (local, prometheus, names-wasm-sandbox, names-rustbox, prometheus-otlp, jaeger, loki, debug) "
    f"or a YAML file; default: {DEFAULT_OVERLAY}"
)
DATA = "the folder for the Collector's files (default: SANDSCOPE_DATA, else sandscope-data)"
_PURPOSES = {
    "otlp_grpc": "OTLP over gRPC",
    "otlp_http": "OTLP over HTTP",
    "health": "the health check",
    "prometheus": "the page that Prometheus scrapes",
}


def add_to(subparsers: Subparsers) -> None:
    """Register the subcommand."""
    collector = subparsers.add_parser("collector", help="run or inspect the bundled OpenTelemetry Collector")
    actions = collector.add_subparsers(required=True, metavar="ACTION")
    path = actions.add_parser("path", help="print the path of the Collector's binary, otelcol")
    path.set_defaults(handler=_path)
    run = actions.add_parser("run", help="run the Collector in the foreground")
    run.add_argument("overlays", nargs="*", metavar="OVERLAY", help=OVERLAYS)
    add_ports_to(run)
    run.add_argument("--data", type=Path, metavar="DIR", help=DATA)
    run.set_defaults(handler=_run)
    check = actions.add_parser("validate", help="check a configuration without starting the Collector")
    check.add_argument("overlays", nargs="*", metavar="OVERLAY", help=OVERLAYS)
    check.set_defaults(handler=_validate)
    components = actions.add_parser("components", help="list the Collector's components")
    components.set_defaults(handler=_components)
    for action in (path, run, check, components):
        action.add_argument("--otelcol", metavar="FILE", help="the otelcol to use")


def add_ports_to(parser: argparse.ArgumentParser) -> None:
    """Register an option for each port on which the Collector listens."""
    for field in fields(Ports):
        parser.add_argument(
            flag(field.name),
            type=int,
            metavar="PORT",
            help=f"for {_PURPOSES[field.name]} (default: {variable(field.name)}, else {field.default})",
        )


def ports_of(arguments: argparse.Namespace) -> Ports:
    """Return the ports chosen by the options of `add_ports_to`, else by the environment."""
    return Ports.from_environment(
        **{field.name: getattr(arguments, f"{field.name}_port") for field in fields(Ports)}
    )


def data_folder(chosen: Path | None) -> Path:
    """Return the folder for the Collector's files: chosen, else SANDSCOPE_DATA, else `sandscope-data`."""
    return (chosen or Path(os.environ.get("SANDSCOPE_DATA") or "sandscope-data")).absolute()


def _path(arguments: argparse.Namespace) -> int:
    print(find_otelcol(arguments.otelcol))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    otelcol = find_otelcol(arguments.otelcol)
    composition = Composition.of(*(arguments.overlays or [DEFAULT_OVERLAY]))
    ports, data = ports_of(arguments), data_folder(arguments.data)
    environment = environment_for(ports, data)
    validate(otelcol, composition, environment)
    ports.check(*listening(composition))
    files = f"; files in {data}" if composition.uses("SANDSCOPE_DATA") else ""
    otlp = f"http://{HOST}:{ports.otlp_http} and {HOST}:{ports.otlp_grpc} (gRPC)"
    print(f"OTLP on {otlp} -> {', '.join(composition.overlays)}{files}", flush=True)
    os.execve(otelcol, [str(otelcol), *composition.arguments], environment)  # noqa: S606 - runs without a shell


def _validate(arguments: argparse.Namespace) -> int:
    composition = Composition.of(*(arguments.overlays or [DEFAULT_OVERLAY]))
    validate(find_otelcol(arguments.otelcol), composition)
    print(f"{composition}: valid")
    return 0


def _components(arguments: argparse.Namespace) -> int:
    return subprocess.run([find_otelcol(arguments.otelcol), "components"], check=False).returncode
