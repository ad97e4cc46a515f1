"""Start programs in separate processes, instrumented in one of the three ways that users have."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness._sink import PATIENCE

BIN = Path(sys.executable).parent
_TELEMETRY = ("OTEL_", "SANDSCOPE_", "TRACE", "BAGGAGE", "GITHUB_", "GITLAB_", "CI_", "RUNNER_")

STOCK = (str(BIN / "opentelemetry-instrument"),)
SANDSCOPE_RUN = (str(BIN / "sandscope"), "run", "--")


def clean_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without variables of telemetry and of CI systems, plus ``variables``.

    What cannot be delivered is not kept: it would arrive in another test.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_TELEMETRY)}
    return {**inherited, "SANDSCOPE_SPOOL": "off", **variables}


def run_program(
    program: Path | str,
    *arguments: str,
    way: Sequence[str] = STOCK,
    environment: Mapping[str, str] | None = None,
    timeout: float = 2 * PATIENCE,
) -> subprocess.CompletedProcess[str]:
    """Run a Python program, and return its output and exit code.

    Args:
        program: a file, or source text.
        arguments: its arguments.
        way: the command before ``python``; empty for a program that imports ``sandscope.auto``.
        environment: all environment variables; `clean_environment()` by default.
        timeout: seconds.
    """
    source = [str(program)] if isinstance(program, Path) else ["-c", program]
    return subprocess.run(
        [*way, sys.executable, *source, *arguments],
        env=dict(clean_environment() if environment is None else environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
