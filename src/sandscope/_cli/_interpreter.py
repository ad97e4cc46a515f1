"""Whether the Python that a program runs with can be instrumented."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sandscope._errors import SandscopeError

_PYTHON = re.compile(r"(python|pypy)[\d.]*t?")
_NOT_INSTALLED = 3
_PROBE = f"import sys, importlib.util as u; sys.exit({_NOT_INSTALLED} * (u.find_spec('sandscope') is None))"


def is_python(name: str) -> bool:
    """Return whether this is the name of a Python interpreter."""
    return _PYTHON.fullmatch(name) is not None


def check_interpreter(program: str, command: Sequence[str]) -> None:
    """Check that what executes a program is there, and if it is another Python, that Sandscope is installed for it.

    Args:
        program: the program's path.
        command: the command line, for the message.

    Raises:
        SandscopeError: if not.
    """
    itself = is_python(Path(program).name)
    interpreter = program if itself else _named_by_first_line(program, command)
    if interpreter is None or not is_python(Path(interpreter).name):
        return
    if Path(interpreter).parent == Path(sys.executable).parent or not _lacks_sandscope(interpreter):
        return
    instead = [sys.executable, *(command[1:] if itself else [program, *command[1:]])]
    raise SandscopeError(
        f"Cannot instrument {command[0]!r}: sandscope is not installed for {interpreter!r}. "
        f"Install it there, or: sandscope run -- {shlex.join(instead)}"
    )


def _lacks_sandscope(interpreter: str) -> bool:
    command = [interpreter, "-c", _PROBE]
    try:
        probe = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return False
    return probe.returncode == _NOT_INSTALLED


def _named_by_first_line(program: str, command: Sequence[str]) -> str | None:
    try:
        with Path(program).open("rb") as file:
            start = file.read(256)
    except OSError:
        return None
    line = start.partition(b"\n")[0]
    words = os.fsdecode(line.removeprefix(b"#!")).split() if line.startswith(b"#!") else []
    if not words:
        if b"\0" in start:
            return None  # a program of the machine's own
        raise _not_executable(
            command, "its first line does not begin with '#!' and the path of an interpreter"
        )
    if Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word] or words
    interpreter = shutil.which(words[0])
    if interpreter is None:
        raise _not_executable(command, f"its first line names {words[0]!r}, which cannot be found")
    return interpreter


def _not_executable(command: Sequence[str], cause: str) -> SandscopeError:
    shell = "python" if Path(command[0]).suffix == ".py" else "sh"
    meant = shlex.join([shell, *command])
    return SandscopeError(f"Cannot run {command[0]!r}: {cause}. Did you mean: sandscope run -- {meant}")
