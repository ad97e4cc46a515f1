"""`sandscope run`: run a program with instrumentation, and a Collector that receives its telemetry."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandscope._children import python_path_with_sandscope
from sandscope._cli._program import Program, exit_as
from sandscope._cli.collector import DATA, DEFAULT_OVERLAY, add_ports_to, data_folder, ports_of
from sandscope._collector import CollectorProcess, Composition
from sandscope._errors import SandscopeError

if TYPE_CHECKING:
    from sandscope._cli.collector import Subparsers

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def add_to(subcommands: Subparsers) -> None:
    """Register the subcommand."""
    parser = subcommands.add_parser(
        "run",
        usage="sandscope run [OPTION ...] -- PROGRAM [ARGUMENT ...]",
        help="run a program with instrumentation, and a Collector that receives its telemetry",
        description="Instrument the Python programs that a command starts. Start the bundled Collector if none is "
        "listening, and stop it afterwards. Signals and the exit status of the program are passed on.",
    )
    parser.add_argument(
        "--with",
        dest="overlays",
        action="append",
        metavar="OVERLAY",
        help="an overlay or a YAML file for the Collector; may be repeated (default: local)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help=DATA)
    add_ports_to(parser)
    parser.add_argument("command", nargs="+", metavar="PROGRAM", help="the program and its arguments")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the program until it exits and return its exit code."""
    command = instrumented(arguments.command)
    with _collector(arguments) as environment:
        try:
            environment["PYTHONPATH"] = python_path_with_sandscope(environment.get("PYTHONPATH", ""))
            program = Program(command, environment)
        except OSError as error:
            raise SandscopeError(
                f"Cannot start {command[0]!r}: {error.strerror}. Check its permissions."
            ) from error
        status = program.wait()
    return exit_as(status)


def instrumented(command: list[str]) -> list[str]:
    """Return a command line with the program's path.

    Raises:
        SandscopeError: if the program cannot be found.
    """
    program = shutil.which(command[0])
    if program is None:
        raise SandscopeError(f"Cannot run {command[0]!r}: there is no such program on PATH. Check its name.")
    return [program, *command[1:]]


@contextmanager
def _collector(arguments: argparse.Namespace) -> Iterator[dict[str, str]]:
    """Yield the program's environment while a Collector receives its telemetry."""
    if any(os.environ.get(name) for name in _ENDPOINTS):
        yield dict(os.environ)
        return
    ports, data = ports_of(arguments), data_folder(arguments.data)
    composition = Composition.of(*(arguments.overlays or [DEFAULT_OVERLAY]))
    collector = CollectorProcess(composition, data=data, ports=ports)
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{ports.otlp_grpc}"
    if _is_listening(ports.otlp_http):
        yield environment
        return
    with collector:
        print(f"sandscope: the Collector is listening on {collector.endpoint}", file=sys.stderr)
        yield environment
    print(f"sandscope: the Collector's files are in {data}", file=sys.stderr)


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
