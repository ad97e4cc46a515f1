"""`sandscope stores`, which the distribution sandscope-collector provides with the stores' configuration."""

from __future__ import annotations

import argparse

from sandscope._errors import SandscopeError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options; without sandscope-collector, it says what to install."""
    try:
        from sandscope_collector.stores import command
    except ImportError as error:
        parser.description = "Needs sandscope-collector: `pip install 'sandscope[collector]'`."
        parser.add_argument("words", nargs=argparse.REMAINDER, metavar="ACTION ...")
        parser.set_defaults(handler=_not_installed, cause=error)
    else:
        command.add_to(parser)
        parser.set_defaults(handler=_run)


def _not_installed(arguments: argparse.Namespace) -> int:
    raise SandscopeError(
        f"Cannot find the stores: {arguments.cause}. Run `pip install 'sandscope[collector]'`."
    )


def _run(arguments: argparse.Namespace) -> int:
    from sandscope_collector.stores import StoresError

    try:
        code: int = arguments.action(arguments)
    except StoresError as error:
        raise SandscopeError(str(error)) from error
    return code
