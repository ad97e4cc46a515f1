"""Choose the subcommand, and exit with code 2 for an error that the user can correct."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from sandscope._cli._find_program import did_you_mean
from sandscope._cli._program import exit_as
from sandscope._errors import SandscopeError
from sandscope._say import say
from sandscope._version import __version__

_COMMANDS = ("run", "collector", "stores", "doctor")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: the command-line arguments; those of this process by default.

    Returns:
        The exit code: 2 for an error that the user can correct, else what the subcommand returns.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        return _run(argv)
    except SandscopeError as error:
        say(f"sandscope: {error}")
        return 2
    except KeyboardInterrupt:
        return exit_as(signal.SIGINT)


def _run(argv: Sequence[str]) -> int:
    if argv and not argv[0].startswith("-") and argv[0] not in _COMMANDS:
        action = did_you_mean(argv) or f"Use one of {', '.join(_COMMANDS)}."
        raise SandscopeError(f"Cannot do {argv[0]!r}: there is no such command. {action}")
    parser = argparse.ArgumentParser(
        prog="sandscope",
        description="Telemetry for code that runs in a sandbox.",
        epilog="To begin: sandscope run -- python app.py",
    )
    parser.add_argument("--version", action="version", version=f"sandscope {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    # `sandscope run` must not wait for the imports of the other subcommands.
    for name in [name for name in _COMMANDS if name in argv[:1]] or _COMMANDS:
        import_module(f"sandscope._cli.{name}").add_to(subcommands)
    arguments = parser.parse_args(argv)
    code: int = arguments.handler(arguments)
    return code
