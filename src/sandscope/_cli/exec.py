"""`sandscope exec`: run one command as a traced execution, within limits, and say how it ended."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sandscope import _settings
from sandscope._cli._collector_options import add_destination_to
from sandscope._cli._limits import add_limits_to, limits_of
from sandscope._cli._traced_run import run_traced
from sandscope._errors import SandscopeError
from sandscope._say import say

if TYPE_CHECKING:
    from sandscope._cli._traced_program import Ended
    from sandscope._execution import Execution

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
"""The exit codes of shells."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.usage = "sandscope exec [OPTION ...] -- COMMAND [ARGUMENT ...]"
    parser.description = (
        "Run a command as one execution in the trace that TRACEPARENT names, or in a new one, and say on stderr\n"
        "how it ended. It has this terminal, its signals, and TRACEPARENT. Its exit code is kept; 128 and the\n"
        "number of the signal that ended it; 126 or 127 if it cannot be started."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_limits_to(parser)
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write the verdict to a file as one JSON object, or with - to stderr in place of the line",
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing about a command that has succeeded")
    add_destination_to(parser)
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="COMMAND", help="the command and its arguments"
    )
    parser.set_defaults(handler=_exec)


def _exec(arguments: argparse.Namespace) -> int:
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise SandscopeError(
            "Cannot run anything: no command is given. For example: sandscope exec -- make test"
        )
    limits = limits_of(arguments)
    _settings.check()
    program = shutil.which(command[0])
    if program is None:
        return _not_found(command[0])
    from sandscope._cli import _ending

    _ending.check_file(arguments.json)

    def report(execution: Execution, ended: Ended) -> None:
        if arguments.json:
            _ending.write(_ending.as_json(execution, ended, limits), arguments.json)
        if arguments.json != "-" and not (arguments.quiet and ended.status == 0):
            say(f"sandscope: {_ending.line(execution, ended)}")

    try:
        status = run_traced(arguments, [program, *command[1:]], report, limits=limits, announces=False)
    except OSError as error:
        say(f"sandscope: Cannot run {command[0]!r}: {error.strerror}. Check that it is a program.")
        return _NOT_EXECUTABLE
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _not_found(name: str) -> int:
    if os.sep not in name:
        say(f"sandscope: Cannot run {name!r}: there is no such program on PATH. Check its name.")
        return _NOT_FOUND
    file = Path(name)
    if not file.exists():
        say(f"sandscope: Cannot run {name!r}: there is no such file. Check its path.")
        return _NOT_FOUND
    cause = "it is a folder" if file.is_dir() else "it is not executable"
    say(f"sandscope: Cannot run {name!r}: {cause}. Give the path of a program.")
    return _NOT_EXECUTABLE
