"""Choose the subcommand, and exit with code 2 for an error that the user can correct."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from sandscope import _first_use
from sandscope._errors import SandscopeError
from sandscope._say import say
from sandscope._version import __version__

_COMMANDS = {
    "run": "run a program with instrumentation, and a Collector that receives its telemetry",
    "exec": "run one command as a traced execution, within limits, and say how it ended",
    "ci": "close the run of a CI pipeline, and count the vulnerabilities that a scan has found",
    "report": "show what has run: verdicts, functions, failures, the slowest executions, one trace",
    "view": "show it in the browser, live: executions, traces across processes, functions, metrics",
    "top": "show what is running now, in the terminal, updated every second",
    "query": "query what has been recorded, in SQL",
    "up": "start a Collector in the background, and the stores if asked",
    "down": "stop what `sandscope up` has started",
    "recover": "send what programs that were killed could not send",
    "audit": "seal the security log, and verify that nobody has changed it",
    "collector": "run or inspect the bundled OpenTelemetry Collector",
    "stores": "build, start and stop Prometheus, Jaeger, Loki and Alertmanager, without Docker",
    "doctor": "check everything on the way: Collector, endpoint, clock, stores, disk, recorder, instrumentations",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: the command-line arguments; those of this process by default.

    Returns:
        The exit code: 2 for an error that the user can correct, else what the subcommand returns.
    """
    argv = sys.argv[1:] if argv is None else argv
    _first_use.forget_all()  # started by an instrumented program, it would record the Collector
    try:
        return _run(argv)
    except SandscopeError as error:
        say(f"sandscope: {error}")
        return 2
    except BrokenPipeError:  # such as that of `sandscope report | head`
        from sandscope._cli._program import exit_as

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_as(signal.SIGPIPE)
    except KeyboardInterrupt:
        from sandscope._cli._program import exit_as

        return exit_as(signal.SIGINT)


def _run(argv: Sequence[str]) -> int:
    if argv and not argv[0].startswith("-") and argv[0] not in _COMMANDS:
        from sandscope._cli._find_program import did_you_mean

        action = did_you_mean(argv) or f"Use one of {', '.join(_COMMANDS)}."
        raise SandscopeError(f"Cannot do {argv[0]!r}: there is no such command. {action}")
    parser = argparse.ArgumentParser(
        prog="sandscope",
        description="Telemetry for code that runs in a sandbox.",
        epilog="To begin: sandscope run -- python app.py",
    )
    parser.add_argument("--version", action="version", version=f"sandscope {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, purpose in _COMMANDS.items():
        command = subcommands.add_parser(name, help=purpose)
        if name in argv[:1]:  # it must not wait for the imports of the other subcommands
            import_module(f"sandscope._cli.{name}").configure(command)
    arguments = parser.parse_args(argv)
    code: int = arguments.handler(arguments)
    return code
