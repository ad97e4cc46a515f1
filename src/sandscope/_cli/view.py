"""`sandscope view`: what has run, as a page in a browser on this machine."""

from __future__ import annotations

import argparse
import sys
import webbrowser

from sandscope._cli._collector_options import add_data_to
from sandscope._cli._local_store import check_installed, existing_folder
from sandscope._say import say

_NEEDED = ("duckdb", "jinja2", "nanoarrow", "orjson", "starlette", "uvicorn")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.description = (
        "Show what has run, from the Collector's files of `sandscope run`, as a page in a browser. It follows programs "
        "that run meanwhile, can only read, and is reached from this machine only, with the address that is printed."
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="(default: a free one)")
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=sys.stdout.isatty(),
        help="open it in the browser (default: on a terminal)",
    )
    add_data_to(parser)
    parser.set_defaults(handler=_view)


def _view(arguments: argparse.Namespace) -> int:
    check_installed(_NEEDED)
    data = existing_folder(arguments)
    from sandscope._view import Listener, serve

    listener = Listener(arguments.port)
    say(f"sandscope: {listener.address}", stream=sys.stdout)
    if arguments.open:
        webbrowser.open(listener.address)
    serve(listener, data)
    return 0
