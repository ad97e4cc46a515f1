"""A process of a store, which can be killed, and started again as it was."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

PATIENCE = 300.0
"""Seconds after which a store hangs."""


class Killable:
    """A store: its command and environment are read from the process, so that it starts again on the same data."""

    def __init__(self, name: str, pid: int, ready: str, log: Path) -> None:
        """Take over a running process.

        Args:
            name: of the store.
            pid: its process id.
            ready: the URL that answers when it is ready.
            log: the file for its output after it has been started again.
        """
        self.name = name
        self._pid, self._ready, self._log = pid, ready, log
        self._command = _words(Path(f"/proc/{pid}/cmdline"))
        self._environment = dict(word.split("=", 1) for word in _words(Path(f"/proc/{pid}/environ")))
        self._started: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        os.kill(self._pid, signal.SIGKILL)
        if self._started is not None:
            self._started.wait()
        else:
            os.waitpid(self._pid, 0)

    def start(self) -> None:
        """Start it again, and wait until it is ready."""
        with self._log.open("ab") as log:
            self._started = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._pid = self._started.pid
        deadline = time.monotonic() + PATIENCE
        while not self._is_ready():
            assert self._started.poll() is None, f"{self.name} has ended; see {self._log}"
            assert time.monotonic() < deadline, (
                f"{self.name} is not ready after {PATIENCE:.0f} s; see {self._log}"
            )
            time.sleep(0.1)

    def end(self) -> None:
        """End it, if it has been started again; `down` ends it otherwise."""
        if self._started is not None and self._started.poll() is None:
            self._started.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._started.wait(10)
            self._started.kill()
            self._started.wait()

    def _is_ready(self) -> bool:
        try:
            with urlopen(self._ready, timeout=2):  # noqa: S310 -- of loopback
                return True
        except (URLError, OSError):
            return False


def _words(path: Path) -> list[str]:
    return [os.fsdecode(word) for word in path.read_bytes().split(b"\0")[:-1]]
