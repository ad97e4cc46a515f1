"""Draw frames in the terminal, again and again, until it is told to stop; afterwards, the terminal is as it was."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live

from sandscope._cli._foreground import stopping_signals

_INTERVAL, _LOOK = 1.0, 0.1
"""Seconds between two frames, and between two looks at keys, signals and the terminal's size."""
_QUIT = b"qQ\x03\x04"
"""Keys that end it."""


def show(console: Console, frame: Callable[[], RenderableType]) -> None:
    """Show frames until `q` or a signal."""
    first = frame()
    with (
        stopping_signals() as signals,
        _keys() as pressed,
        Live(first, console=console, screen=True, auto_refresh=False) as live,
    ):
        live.refresh()
        while not _ends(live, signals, pressed):
            live.update(frame(), refresh=True)


def _ends(live: Live, signals: list[int], pressed: Callable[[float], bytes]) -> bool:
    """Wait for the next frame, and return whether there is to be none."""
    deadline, shown = time.monotonic() + _INTERVAL, live.console.size
    while time.monotonic() < deadline:
        if any(key in _QUIT for key in pressed(_LOOK)) or signals:
            return True
        if live.console.size != shown:
            shown = live.console.size
            live.refresh()
    return False


@contextmanager
def _keys() -> Iterator[Callable[[float], bytes]]:
    """Yield a function that waits at most so many seconds for keys, and returns them."""
    descriptor = _terminal()
    if descriptor is None:
        yield _no_keys
        return
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield (
            lambda patience: (
                os.read(descriptor, 64) if select.select([descriptor], [], [], patience)[0] else b""
            )
        )
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _no_keys(patience: float) -> bytes:
    time.sleep(patience)
    return b""


def _terminal() -> int | None:
    """Return the descriptor of the terminal that has the keys; None if this process may not read it."""
    try:
        descriptor = sys.stdin.fileno()
        own = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return None
    return descriptor if own else None
