"""The pipe by which Python children tell when their interpreter is ready: see ``docs/decisions/0016``.

A child writes one line to it before its program begins, and keeps nothing open. The parent reads when children end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from sandscope.instrumentation import COLD_START_VARIABLE, instruments_python, new_lock, watch_forks
from sandscope_instrumentation_subprocess._file_descriptors import close_if_still, may_open, move_up

_OTHER_DESCRIPTORS = 2
"""Of the instrumentation, without those of running children."""

_MOST_ASKED = 10_000
"""Running children that are asked."""

_PIPE_SIZE = 65536


class Question(NamedTuple):
    """What one child is asked.

    Attributes:
        token: identifies its answer; no other child knows it.
        variables: the environment variable that asks it.
    """

    token: str
    variables: Mapping[str, str]


class Answers:
    """The reading end of the pipe, and the answers that have not been taken."""

    def __init__(self) -> None:
        """Begin without a pipe: the first child opens it."""
        self._descriptor = -1
        self._pipe = ""
        self._answered: dict[str, int | None] = {}
        self._lock = new_lock()
        watch_forks(self)

    def ask(self) -> Question | None:
        """Return a question for a Python child that starts now, or None if it cannot answer."""
        if sys.platform != "linux" or not instruments_python(os.environ.get("PYTHONPATH", "")):
            return None
        with self._lock:
            if len(self._answered) >= _MOST_ASKED or not self._is_open():
                return None
            token = os.urandom(8).hex()
            self._answered[token] = None
            where = f"/proc/{os.getpid()}/fd/{self._descriptor} {self._pipe}"
        return Question(token, {COLD_START_VARIABLE: f"{where} {token}"})

    def take(self, token: str) -> int | None:
        """Return when a child that has ended was ready, as it told it, or None if it has not told."""
        with self._lock:
            if self._descriptor >= 0 and _target(self._descriptor) == self._pipe:
                self._read()
            return self._answered.pop(token, None)

    def close(self) -> None:
        """Close the file descriptor."""
        with self._lock:
            if self._descriptor >= 0:
                close_if_still(self._pipe, self._descriptor)
            self._descriptor = -1

    def after_fork_in_child(self) -> None:
        """Forget everything: these are children of the forked process's parent."""
        self.close()
        self._answered.clear()

    def _is_open(self) -> bool:
        """Return whether there is a pipe, and open one unless the program has closed it."""
        if self._descriptor >= 0:
            return _target(self._descriptor) == self._pipe
        if not may_open(_OTHER_DESCRIPTORS):
            return False
        try:
            reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            os.close(writer)
            self._descriptor = move_up(reader)
        except OSError:
            return False
        self._pipe = _target(self._descriptor)
        if not self._pipe:  # there is no /proc
            os.close(self._descriptor)
            self._descriptor = -1
        return self._descriptor >= 0

    def _read(self) -> None:
        try:
            lines = os.read(self._descriptor, _PIPE_SIZE).split(b"\n")
        except BlockingIOError:  # a child is about to write
            return
        for line in lines:
            token, _, time = line.decode("ascii", "replace").partition(" ")
            # Children may write anything, but only one that was asked knows a token.
            if token in self._answered and time.isdecimal() and len(time) < 20:
                self._answered[token] = int(time)


def _target(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 -- a magic link, not a path
    except OSError:
        return ""
