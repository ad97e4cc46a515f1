"""Choose the subcommand, and turn errors the user can mend into exit code 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sandscope._cli import collector, doctor, run, stores
from sandscope._errors import SandscopeError
from sandscope._version import __version__

_COMMANDS = (run, collector, stores, doctor)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: the words after the program's name; those of this process by default.

    Returns:
        The exit code: 2 for an error the user can mend, else what the subcommand returns.
    """
    parser = argparse.ArgumentParser(prog="sandscope", description="See what sandboxed code did.")
    parser.add_argument("--version", action="version", version=f"sandscope {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(subcommands)
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.handler(arguments)
    except SandscopeError as error:
        print(f"sandscope: {error}", file=sys.stderr)
        return 2
    return code
