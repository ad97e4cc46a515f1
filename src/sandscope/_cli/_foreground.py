"""Run the Collector until it is told to stop, and show what it reports meanwhile."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from sandscope._cli._start_collector import started_collector
from sandscope._cli._supervision import supervise
from sandscope._collector import CollectorProcess
from sandscope._collector._log_lines import problem
from sandscope._collector._ports import HOST
from sandscope._say import say

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN = 60.0
"""Seconds after which the same report is shown again."""


def run_in_foreground(arguments: argparse.Namespace, *, otelcol: Path) -> int:
    """Run the Collector until a signal stops it; one that ends by itself is started again.

    Args:
        arguments: those of `started_collector`.
        otelcol: the Collector's binary.

    Raises:
        SandscopeError: if it cannot be started.
    """
    with (
        stopping_signals() as signals,
        started_collector(arguments, otelcol=otelcol) as collector,
        collector.log.open(encoding="utf-8", errors="replace") as log,
    ):
        reports = _Reports(log, everything="debug" in collector.composition.overlays)
        _say_ready(collector)
        supervise(collector, signals, reports.show_new)
        collector.stop()
        reports.show_new()
    return 0


@contextmanager
def stopping_signals() -> Iterator[list[int]]:
    """Yield a list of the signals that arrive, except those that are ignored, for example by nohup."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in _STOPPING}
    handled = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in handled:
        signal.signal(number, lambda number, _frame: received.append(number))
    try:
        yield received
    finally:
        for number in handled:
            signal.signal(number, before[number])


def _say_ready(collector: CollectorProcess) -> None:
    otlp = f"{collector.endpoint} and {HOST}:{collector.ports.otlp_grpc} (gRPC)"
    kept = "files and log" if collector.composition.writes_files else "log"
    overlays = ", ".join(collector.composition.overlays)
    say(f"ready: OTLP on {otlp} -> {overlays}; {kept} in {collector.data}", stream=sys.stdout)


class _Reports:
    """Shows the new lines of the Collector's log that report a problem, or all of them."""

    def __init__(self, log: TextIO, *, everything: bool) -> None:
        self._log = log
        self._everything = everything
        self._line = ""
        self._shown: dict[str, float] = {}

    def show_new(self) -> None:
        """Show what has been added to the log."""
        for part in self._log:
            self._line += part
            if self._line.endswith("\n"):
                line, self._line = self._line, ""
                if not self._show(line):
                    self._log.seek(0, os.SEEK_END)  # nobody reads
                    return

    def _show(self, line: str) -> bool:
        """Show a line if it reports something new, and return False if nobody reads it."""
        if self._everything:
            return say(line.rstrip("\n"))
        text, now = problem(line), time.monotonic()
        self._shown = {shown: since for shown, since in self._shown.items() if now < since + _AGAIN}
        if not text or text in self._shown:
            return True
        self._shown[text] = now
        return say(f"otelcol: {text}")
