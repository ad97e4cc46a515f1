"""`sandscope report`: what has run, in the terminal or as a file."""

from __future__ import annotations

import argparse
import time
from importlib import import_module

from sandscope._cli._collector_options import add_data_to
from sandscope._cli._local_store import local_store
from sandscope._cli._time_range import DURATION, moment
from sandscope._errors import SandscopeError
from sandscope._store import Database, Selection, changes, find_traces, summarize, trace_tree

_FORMATS = ("text", "json", "md", "html")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.description = (
        "Show what has run, from the Collector's files of `sandscope run`: how many executions of what, how they "
        "ended, which functions fail and which are slow; or one trace as a tree."
    )
    parser.add_argument("--since", metavar="TIME", help=f"{DURATION} (default: all that is there)")
    parser.add_argument("--until", metavar="TIME", help="leave out the last 30s, 15m, 2h or 7d")
    parser.add_argument(
        "--compare",
        metavar="TIME",
        help="compare the last 30s, 15m, 2h or 7d with what ran before: what fails more often, what is slower",
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="rows of each table (default: 10)")
    parser.add_argument(
        "--trace", metavar="ID", help="one trace as a tree; the beginning of its id is enough"
    )
    parser.add_argument(
        "--format", choices=_FORMATS, default="text", help="(default: text); html is one file"
    )
    add_data_to(parser)
    parser.set_defaults(handler=_report)


def _report(arguments: argparse.Namespace) -> int:
    since = 0 if arguments.since is None else moment(arguments.since, "--since")
    until = None if arguments.until is None else moment(arguments.until, "--until")
    if until is not None and until <= since:
        raise SandscopeError(
            f"Cannot show what ran in the last {arguments.since} but not in the last {arguments.until}: "
            "give a longer --since."
        )
    if arguments.top < 1:
        raise SandscopeError(f"Cannot show --top {arguments.top}: give a number of rows from 1 on.")
    if arguments.trace is not None and arguments.format not in {"text", "json"}:
        raise SandscopeError(f"Cannot show a trace as {arguments.format}: use --format text or json.")
    split = None if arguments.compare is None else moment(arguments.compare, "--compare")
    if split is not None and (arguments.format not in {"text", "json"} or arguments.trace or arguments.until):
        raise SandscopeError(
            "Cannot combine these options: use --compare without --trace and --until, with --format text or json."
        )
    if split is not None and split <= since:
        raise SandscopeError(
            f"Cannot compare with what ran before the last {arguments.compare}: --since {arguments.since} leaves it "
            "out. Give a longer --since."
        )
    with local_store(arguments) as database:
        if split is not None:
            from sandscope._cli import _report_compare

            found = changes(database, Selection(since=since), (since, split), (split, time.time_ns()))
            _report_compare.write(found, arguments.format)
            return 0
        writer = import_module(f"sandscope._cli._report_{arguments.format}")
        if arguments.trace is None:
            writer.write_summary(summarize(database, since, arguments.top, until=until))
        else:
            writer.write_trace(trace_tree(database, _trace_id(database, arguments.trace)))
    return 0


def _trace_id(database: Database, beginning: str) -> str:
    found = find_traces(database, beginning.lower())
    if not found:
        raise SandscopeError(
            f"Cannot find the trace {beginning!r}. `sandscope report` shows the ids of failures."
        )
    if len(found) > 1:
        raise SandscopeError(
            f"Cannot tell which trace {beginning!r} is: {', '.join(found[:3])}. Give more digits of its id."
        )
    return found[0]
