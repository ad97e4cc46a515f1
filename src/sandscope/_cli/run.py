"""`sandscope run`: run a program with instrumentation, and a Collector that receives its telemetry."""

from __future__ import annotations

import argparse

from sandscope import _settings
from sandscope._children import python_path_with_sandscope
from sandscope._cli._collector_options import add_data_to, add_ports_to, overlay_list
from sandscope._cli._destination import destination
from sandscope._cli._find_program import find_program
from sandscope._cli._program import Program, exit_as
from sandscope._errors import SandscopeError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.usage = "sandscope run [OPTION ...] -- PROGRAM [ARGUMENT ...]"
    parser.description = (
        "Run a program with instrumentation, and beside it a Collector of its own, on free ports.\n"
        "A Collector that is running already is used only if --collector or OTEL_EXPORTER_OTLP_ENDPOINT\n"
        "names it. Signals and the program's exit status are passed on."
    )
    parser.epilog = overlay_list()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--collector",
        metavar="URL",
        help="send to this Collector, such as http://localhost:4318, and start none",
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
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="PROGRAM", help="the program and its arguments"
    )
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the program until it exits and return its exit code."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise SandscopeError(
            "Cannot run anything: no program is given. For example: sandscope run -- python app.py"
        )
    _settings.check()
    command = instrumented(command)
    with destination(arguments) as environment:
        environment["PYTHONPATH"] = python_path_with_sandscope(environment.get("PYTHONPATH", ""))
        try:
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
        SandscopeError: if the program cannot be found, or if a Python without Sandscope would run it.
    """
    return [find_program(command), *command[1:]]
