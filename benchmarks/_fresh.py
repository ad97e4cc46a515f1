"""Measure in fresh processes: what one has learnt, or compiled, does not show in the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def fresh(module: str, *arguments: str, python: bool = False) -> Any:
    """Return what a module's ``main`` prints.

    Args:
        module: to run.
        arguments: of its ``main``.
        python: without compiled code.
    """
    environment = os.environ | ({"SANDSCOPE_RECORDER": "python"} if python else {})
    command = [sys.executable, "-m", module, *arguments]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def in_python_and_compiled(module: str, *arguments: str) -> dict[str, float]:
    """Return what a module measures without compiled code, and with it if there is some."""
    from sandscope._deferred import _compiled

    result = {f"{name}_python": value for name, value in fresh(module, *arguments, python=True).items()}
    if not _compiled.python_reason:
        result |= {f"{name}_compiled": value for name, value in fresh(module, *arguments).items()}
    return result


def print_result(result: Any) -> None:
    """Let the process that started this one have a result."""
    print(json.dumps(result), flush=True)
