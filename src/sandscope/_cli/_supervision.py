"""Keep a Collector running: start it again when it has ended by itself, and reload it when a file of it changes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence

from sandscope._collector import CollectorProcess
from sandscope._errors import SandscopeError
from sandscope._say import say

_INTERVAL = 0.2
"""Seconds between two looks at the Collector and its log."""
_LOOK_AT_FILES = 1.0
"""Seconds between two looks at its files."""
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0
"""Seconds before it is started again: twice as many each time."""
_WELL = 60.0
"""Seconds after which a Collector that runs is well again, and the first delay holds."""


def supervise(
    collector: CollectorProcess, signals: Sequence[int], look: Callable[[], object] = lambda: None
) -> None:
    """Keep a Collector running until a signal has arrived.

    Args:
        collector: it has been started, and is left running.
        signals: those that have arrived.
        look: is called now and then.
    """
    delays = _Delays()
    look_at_files = time.monotonic() + _LOOK_AT_FILES
    while not signals:
        time.sleep(_INTERVAL)
        look()
        if collector.pid is None:
            _start_again(collector, signals, delays)
            look()
        elif time.monotonic() > look_at_files:
            look_at_files = time.monotonic() + _LOOK_AT_FILES
            if collector.files.have_changed():
                _reload(collector)


def _start_again(collector: CollectorProcess, signals: Sequence[int], delays: _Delays) -> None:
    said = f"the Collector exited unexpectedly ({_ending(collector.exit_code)}); its log: {collector.log}"
    while not signals and collector.pid is None:
        delay = delays.following()
        say(f"sandscope: {said}; it is started again in {delay:g} s")
        _sleep(delay, signals)
        if signals:
            return
        try:
            collector.start(again=True)
        except SandscopeError as error:
            said = str(error).rstrip(".")
    if collector.pid is not None:
        say("sandscope: the Collector is ready again")


def _reload(collector: CollectorProcess) -> None:
    try:
        collector.reload()
    except SandscopeError as error:
        say(f"sandscope: {error} The Collector continues with its current configuration.")
    else:
        say("sandscope: a configuration file has changed: the Collector reads it again")


def _ending(code: int | None) -> str:
    if code is None:
        return "exit code unknown"
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _sleep(seconds: float, signals: Sequence[int]) -> None:
    end = time.monotonic() + seconds
    while not signals and time.monotonic() < end:
        time.sleep(min(_INTERVAL, seconds))


class _Delays:
    """How long to wait before each start."""

    def __init__(self) -> None:
        self._delay = _FIRST_DELAY
        self._last = time.monotonic()

    def following(self) -> float:
        """Return the seconds before the next start."""
        now = time.monotonic()
        if now - self._last > _WELL + self._delay:
            self._delay = _FIRST_DELAY
        self._last = now
        delay, self._delay = self._delay, min(_LONGEST_DELAY, 2 * self._delay)
        return delay
