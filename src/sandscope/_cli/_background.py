"""A Collector in the background: a process of its own, which continues when the command has ended."""

from __future__ import annotations

import argparse
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

from sandscope._cli._foreground import stopping_signals
from sandscope._cli._start_collector import started_collector
from sandscope._cli._supervision import supervise
from sandscope._errors import SandscopeError

_INTERVAL = 0.2
"""Seconds between two looks at the Collector."""
_READY, _FAILED = b"+", b"-"


def start(arguments: argparse.Namespace, log: Path) -> tuple[int, int]:
    """Start it, and return its process id and a descriptor that says what became of it, for `endpoint`."""
    result, told = os.pipe()
    log.touch(mode=0o600)
    pid = os.fork()
    if pid:
        os.close(told)
        return pid, result
    code = 1
    try:
        _leave_the_terminal(log, told)
        code = _run(arguments, told)
    finally:
        os._exit(code)


def endpoint(result: int, still: Callable[[], object]) -> str:
    """Wait until the Collector is ready, and return its endpoint.

    Args:
        result: what `start` returned.
        still: is called now and then while it takes.

    Raises:
        SandscopeError: if it cannot be started.
    """
    said = b""
    try:
        while True:
            if not select.select([result], [], [], _INTERVAL)[0]:
                still()
                continue
            part = os.read(result, 65536)
            said += part
            if not part:
                break
    finally:
        os.close(result)
    text = said[1:].decode(errors="replace")
    if said[:1] != _READY:
        raise SandscopeError(text or "Cannot start the Collector: its process has ended. Try it again.")
    return text


def _leave_the_terminal(log: Path, kept: int) -> None:
    os.setsid()
    os.closerange(3, kept)  # such as the lock of this command
    os.closerange(kept + 1, 4096)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _run(arguments: argparse.Namespace, told: int) -> int:
    try:
        with stopping_signals() as signals, started_collector(arguments) as collector:
            os.write(told, _READY + collector.endpoint.encode())
            os.close(told)
            told = -1
            supervise(collector, signals)
    except SandscopeError as error:
        if told >= 0:
            os.write(told, _FAILED + str(error).encode())
        return 2
    return 0
