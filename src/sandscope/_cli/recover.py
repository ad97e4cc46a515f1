"""`sandscope recover`: send what the black boxes of dead processes hold."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sandscope import _settings
from sandscope._errors import SandscopeError
from sandscope._say import say

if TYPE_CHECKING:
    from sandscope._recovery import Recovered, Sent


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.description = (
        "Send what ran when programs died, what they had not delivered, and what they have kept while the\n"
        "Collector was away, to the Collector that OTEL_EXPORTER_OTLP_ENDPOINT names, and remove the files\n"
        "in which they have left it."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="the folder of the files; default: SANDSCOPE_BLACK_BOX, or else this user's folder in memory",
    )
    parser.set_defaults(handler=recover)


def recover(arguments: argparse.Namespace) -> int:
    """Send, remove, and return the exit code: 1 if something could not be sent."""
    folder = arguments.folder or _settings.black_box_folder() or _settings.default_black_box_folder()
    if arguments.folder is not None and not folder.is_dir():
        raise SandscopeError(f"Cannot recover from {str(folder)!r}: there is no such folder.")
    if _settings.sdk_disabled():
        raise SandscopeError("Cannot send anything: OTEL_SDK_DISABLED is true. Unset it.")
    from sandscope import _recovery

    result = _recovery.recover(folder)
    say(f"sandscope: {described(result)}, from {folder}")
    spool = _settings.spool_folder()
    is_left = False
    if spool is not None and spool.is_dir():
        sent = send_kept(spool)
        is_left = sent.left > 0
        if sent.others:
            requests = _counted(sent.others, "request")
            say(f"sandscope: kept {requests} for other endpoints, or of programs that still run: {spool}")
    return 1 if result.left or result.given_up or is_left else 0


def send_kept(spool: Path) -> Sent:
    """Send what programs have kept while the Collector was away, and say so."""
    from sandscope import _recovery

    sent = _recovery.send_spooled(spool)
    parts = [f"sent {_counted(sent.delivered, 'record')} that had been kept"] if sent.delivered else []
    for count, what, rest in (
        (sent.rejected, "record", "the Collector does not take"),
        (sent.unreadable, "file", "could not be read"),
        (sent.left, "request", "could not be sent, left for the next try"),
    ):
        if count:
            parts.append(f"{_counted(count, what)} {rest}")
    if parts:
        say(f"sandscope: {'; '.join(parts)}: {spool}")
    return sent


def described(result: Recovered) -> str:
    """Return what has been recovered, as a phrase."""
    executions = (
        f"recovered {_counted(result.running, 'execution')} that ran when the program died and "
        f"{_counted(result.ended, 'execution')} that had not been delivered"
    )
    parts = [f"{executions} ({_counted(result.processes, 'process')})"]
    if result.unreadable:
        parts.append(f"{_counted(result.unreadable, 'record')} could not be read")
    if result.left:
        parts.append("the Collector has not received everything: the rest is kept")
    if result.given_up:
        parts.append(f"gave up on {_counted(result.given_up, 'process')} after too many tries")
    return "; ".join(parts)


def _counted(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"
