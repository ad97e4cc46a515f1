"""Choose the subcommand, and exit with code 2 for an error that the user can correct."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from sandscope._errors import SandscopeError
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
    try:
        code: int = arguments.handler(arguments)
    except SandscopeError as error:
        print(f"sandscope: {error}", file=sys.stderr)
        return 2
    return code
