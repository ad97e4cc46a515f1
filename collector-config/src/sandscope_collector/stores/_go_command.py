"""Run a Go command and report its progress."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandscope_collector.stores._go import go_environment
from sandscope_collector.stores._progress import Progress


class GoCommandError(Exception):
    """A Go command failed; the message has its exit code and the end of its output."""


def run_go(
    go: Path,
    arguments: Sequence[str],
    folder: Path,
    *,
    log: Path,
    progress: Progress,
    title: str,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Run a Go command until it exits; stop it if this process is interrupted.

    Args:
        go: the toolchain.
        arguments: the command, such as ``build``, and its arguments.
        folder: where to run it.
        log: the file for its output.
        progress: where to report progress.
        title: what is built, for the progress.
        settings: environment variables to set besides those of `go_environment`.

    Raises:
        GoCommandError: if it fails.
    """
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(go), *arguments],
            cwd=folder,
            env=go_environment() | dict(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while process.returncode is None:
            try:
                process.wait(timeout=min(1.0, progress.every))
            except subprocess.TimeoutExpired:
                compiled = len(_packages(log))
                progress.tick(
                    f"building {title}: {time.monotonic() - start:.0f} s, {compiled} packages compiled"
                )
    finally:
        if process.returncode is None:
            _interrupt(process)
    if process.returncode:
        errors = "".join(f"\n  {line}" for line in _errors(log))
        raise GoCommandError(f"`go {arguments[0]}` exited with code {process.returncode}:{errors}")


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # Go then removes its temporary files
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _packages(log: Path) -> list[str]:
    """Return the packages that `go build -v` has compiled so far."""
    return [line for line in log.read_text(errors="replace").splitlines() if line and " " not in line]


def _errors(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if " " in line and not line.startswith("go: downloading")][-20:]
