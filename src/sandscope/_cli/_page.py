"""`sandscope view` in the background, for `sandscope up`."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sandscope._cli import _started
from sandscope._cli._started import Process
from sandscope._errors import SandscopeError

_TIMEOUT = 30.0
"""Seconds that it may take until the page says its address."""


def start_page(data: Path, still: Callable[[], object]) -> tuple[Process, str]:
    """Start it, and return its process and its address.

    Args:
        data: the folder of the Collector's files.
        still: is called now and then while it takes.

    Raises:
        SandscopeError: if it does not start, such as when it is not installed.
    """
    log = data / "view.log"
    log.touch(mode=0o600)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandscope", "view", "--no-open", "--data", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    started = Process(process.pid, _started.start_of(process.pid) or "")
    deadline = time.monotonic() + _TIMEOUT
    while (
        found := re.search(r"http://\S+", text := log.read_text(encoding="utf-8", errors="replace"))
    ) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            started.stop(still)
            raise SandscopeError(text.strip().removeprefix("sandscope: ") or "Cannot start the page.")
        time.sleep(0.05)
        still()
    return started, found[0]
