"""`sandscope top`: what runs now, in the terminal, each second anew."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sandscope._cli._collector_options import add_data_to, data_folder
from sandscope._cli._local_store import NEEDED, check_installed, local_store
from sandscope._cli._time_range import DURATION, duration
from sandscope._store import Database, Selection, counts, running, summarize, totals

if TYPE_CHECKING:
    from sandscope._cli._top_frame import Frame, Lately

_LAST = 10 * 10**9
"""Nanoseconds in which executions are counted for the rate."""
_ROWS = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.description = (
        "Show what is running now, every second: rate, verdicts, failing and slow functions, the latest failures. "
        "It reads the Collector's files of `sandscope run`, `sandscope up` or `sandscope collector run`. q quits."
    )
    parser.add_argument("--since", metavar="TIME", default="5m", help=f"{DURATION} (default: 5m)")
    parser.add_argument(
        "--once",
        action="store_true",
        help="print one frame and exit, as it does if the output is not a terminal",
    )
    add_data_to(parser)
    parser.set_defaults(handler=_top)


def _top(arguments: argparse.Namespace) -> int:
    duration(arguments.since, "--since")
    check_installed(NEEDED)
    from sandscope._cli._text_tables import console, print_without_padding  # rich may not be installed

    if arguments.once or not console().is_terminal or not sys.stdout.isatty():
        print_without_padding(_frame(arguments, keys=False))
        return 0
    from sandscope._cli._terminal_frames import show

    show(console(), _frames(arguments))
    return 0


def _frames(arguments: argparse.Namespace) -> Callable[[], Frame]:
    return lambda: _frame(arguments, keys=True)


def _frame(arguments: argparse.Namespace, *, keys: bool) -> Frame:
    from sandscope._cli._top_frame import Frame

    if keys and not data_folder(arguments)[0].is_dir():
        return Frame(None, keys=keys)  # it may come
    with local_store(arguments, shows_progress=not keys) as database:
        return Frame(_lately(database, arguments.since), keys=keys)


def _lately(database: Database, window: str) -> Lately:
    from sandscope._cli._top_frame import Lately

    now, length = time.time_ns(), duration(window, "--since")
    since = max(0, now - length)
    figures = totals(database, Selection(since=since))
    return Lately(
        window,
        length / 1e9,
        bool(figures.executions or counts(database, Selection()).executions),
        figures,
        counts(database, Selection(since=now - _LAST)).executions,
        running(database),
        summarize(database, since, _ROWS),
    )
