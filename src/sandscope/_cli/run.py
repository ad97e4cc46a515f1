"""`sandscope run`: run a program with instrumentation, and a Collector that receives its telemetry."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from sandscope import _settings
from sandscope._child._children import python_path_with_sandscope
from sandscope._cli._black_boxes_of_run import recovered_at_end
from sandscope._cli._collector_options import add_destination_to
from sandscope._cli._destination import destination
from sandscope._cli._find_program import find_program
from sandscope._cli._program import Program, exit_as
from sandscope._errors import SandscopeError
from sandscope._say import say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.usage = "sandscope run [OPTION ...] -- PROGRAM [ARGUMENT ...]"
    parser.description = (
        "Run a program with instrumentation, and beside it a Collector of its own, on free ports.\n"
        "A Collector that is running already is used only if --collector or OTEL_EXPORTER_OTLP_ENDPOINT\n"
        "names it. Signals and the program's exit status are passed on."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--trace",
        action="store_true",
        help="put the whole program into one trace, as an execution, and say how it ended",
    )
    add_destination_to(parser)
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
    try:
        status = _run_traced(arguments, command) if arguments.trace else _run(arguments, command)
    except OSError as error:
        raise SandscopeError(
            f"Cannot start {command[0]!r}: {error.strerror}. Check its permissions."
        ) from error
    return exit_as(status)


def _run(arguments: argparse.Namespace, command: list[str]) -> int:
    with destination(arguments) as outside, recovered_at_end(outside) as environment:
        return Program(command, _instrumenting(environment)).wait()


def _run_traced(arguments: argparse.Namespace, command: list[str]) -> int:
    from sandscope._cli import _ending
    from sandscope._cli._traced_run import run_traced

    return run_traced(
        arguments,
        command,
        lambda execution, ended: say(f"sandscope: {_ending.line(execution, ended)}"),
        variables=_instrumenting,
        around=recovered_at_end,
    )


def _instrumenting(environment: Mapping[str, str]) -> dict[str, str]:
    path = python_path_with_sandscope(environment.get("PYTHONPATH", ""))
    return {**environment, "PYTHONPATH": path}


def instrumented(command: list[str]) -> list[str]:
    """Return a command line with the program's path.

    Raises:
        SandscopeError: if the program cannot be found, or if a Python without Sandscope would run it.
    """
    return [find_program(command), *command[1:]]
