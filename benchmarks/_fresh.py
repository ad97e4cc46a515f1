"""Measure in new processes, so that caches and specialised code of one measurement do not affect another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def fresh(module: str, *arguments: str, python: bool = False) -> Any:
    """Run a module in a new process, and return the result that it prints as JSON.

    Args:
        module: the module to run.
        arguments: command-line arguments for it.
        python: use the hot path in Python, not the compiled one.
    """
    environment = os.environ | ({"SANDSCOPE_RECORDER": "python"} if python else {})
    command = [sys.executable, "-m", module, *arguments]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def in_python_and_compiled(module: str, *arguments: str) -> dict[str, float]:
    """Return a module's figures for the hot path in Python and, if there is one, for the compiled hot path."""
    from sandscope._deferred import _compiled

    result = {f"{name}_python": value for name, value in fresh(module, *arguments, python=True).items()}
    if not _compiled.python_reason:
        result |= {f"{name}_compiled": value for name, value in fresh(module, *arguments).items()}
    return result


def print_result(result: Any) -> None:
    """Pass a result to the process that started this one."""
    print(json.dumps(result), flush=True)
