"""`sandscope audit`: seal the security log, and verify that nobody has changed it."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from sandscope._audit import Entry, read_key, seal, verify
from sandscope._audit._verify import RETENTION
from sandscope._cli._collector_options import add_data_to, data_folder
from sandscope._say import say
from sandscope._settings import audit_key


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's actions and their options."""
    parser.description = (
        "The overlay `security` writes security.jsonl. A chain of hashes in security.chain shows whether a line has\n"
        "been changed, removed, inserted or moved since it was sealed. Whoever can write both files can rewrite both:\n"
        "keep the head that `seal` and `verify` print elsewhere, or the key."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    sealing = actions.add_parser(
        "seal", help="seal what has been added; the Collector's commands do it each second"
    )
    sealing.add_argument(
        "--follow",
        action="store_true",
        help="seal each second until it is stopped: for a Collector that Sandscope did not start",
    )
    sealing.set_defaults(handler=_seal)
    verifying = actions.add_parser(
        "verify", help="compare the log with its chain; exit code 1 if a line differs"
    )
    verifying.add_argument(
        "--head", metavar="HASH", type=_head, help="a head that was kept: the chain must contain it"
    )
    verifying.add_argument(
        "--retention",
        metavar="DAYS",
        type=int,
        default=RETENTION,
        help="older lines may be gone (default: %(default)s)",
    )
    verifying.set_defaults(handler=_verify)
    for action in (sealing, verifying):
        add_data_to(action)
        action.add_argument(
            "--key",
            metavar="FILE",
            type=Path,
            help="the key of the chain (default: SANDSCOPE_AUDIT_KEY, else none)",
        )


def _head(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError("it is not a head: 64 hexadecimal digits")
    return text


def _key(arguments: argparse.Namespace) -> bytes | None:
    path = arguments.key or audit_key()
    return None if path is None else read_key(path)


def _seal(arguments: argparse.Namespace) -> int:
    data, key = data_folder(arguments)[0], _key(arguments)
    last: Entry | None = None
    while True:
        count, last = seal(data, key, after=last)
        if count or not arguments.follow:
            say(f"sealed {_lines(count)}{_ending(last)}", stream=sys.stdout)
        if not arguments.follow:
            return 0
        time.sleep(1)


def _verify(arguments: argparse.Namespace) -> int:
    data = data_folder(arguments)[0]
    result = verify(data, _key(arguments), kept_head=arguments.head, retention=arguments.retention)
    if result.wrong:
        say(f"sandscope: The security log in {str(data)!r} is not as it was: {result.wrong}.")
        return 1
    parts = [f"verified {_lines(result.lines)}: as they were when they were sealed"]
    if result.aged_out:
        parts.append(f"{_lines(result.aged_out)} older than {arguments.retention} days are gone")
    if result.unsealed:
        parts.append(f"{_lines(result.unsealed)} not yet sealed")
    say("; ".join(parts) + _ending(result.last), stream=sys.stdout)
    return 0


def _lines(count: int) -> str:
    return f"{count} line" if count == 1 else f"{count} lines"


def _ending(last: Entry | None) -> str:
    return "" if last is None else f"; head of line {last.n}: {last.head}"
