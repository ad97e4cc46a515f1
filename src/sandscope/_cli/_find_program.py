"""Find the program that `sandscope run` is to run."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from sandscope._cli._interpreter import check_interpreter, is_python
from sandscope._errors import SandscopeError
from sandscope._say import say


def find_program(command: Sequence[str]) -> str:
    """Return the absolute path of a command's program.

    A name without a folder is looked up beside this interpreter first, if it is Python's or if this is a virtual
    environment, and then on PATH: an environment need not be activated.

    Args:
        command: the program's name or path, and its arguments.

    Raises:
        SandscopeError: if there is no such program, or if a Python without Sandscope would run it.
    """
    on_path = shutil.which(command[0])
    found = _beside_this_interpreter(command[0]) or on_path
    if found is None:
        raise SandscopeError(_why_not(command))
    program = str(Path(found).absolute())
    if on_path and Path(on_path).absolute() != Path(program):
        say(f"sandscope: running {program!r}, which is beside sandscope; the first on PATH is {on_path!r}")
    check_interpreter(program, command)
    return program


def did_you_mean(command: Sequence[str]) -> str:
    """Return a sentence with the command line that was probably meant, or an empty string."""
    name, *arguments = command
    file = Path(name)
    if file.is_file() and (file.suffix == ".py" or not os.access(file, os.X_OK)):
        command = ["python", *command]
    elif file.is_file():
        command = [f"./{name}", *arguments]
    elif shutil.which(name) is None:
        return ""
    return f"Did you mean: sandscope run -- {shlex.join(command)}"


def _beside_this_interpreter(name: str) -> str | None:
    in_environment = sys.prefix != sys.base_prefix
    if os.sep in name or not (in_environment or is_python(name)):
        return None
    return shutil.which(name, path=str(Path(sys.executable).parent))


def _why_not(command: Sequence[str]) -> str:
    file = Path(command[0])
    if file.is_dir():
        return f"Cannot run {command[0]!r}: it is a folder. Give the path of a program."
    cause, action = "there is no such program on PATH", did_you_mean(command) or "Check its name."
    if os.sep in command[0]:
        cause = "it is not executable" if file.is_file() else "there is no such file"
    return f"Cannot run {command[0]!r}: {cause}. {action}"
