"""``sandscope exec`` in a terminal: the command has its input, its signals and its job control."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import time
from collections.abc import Mapping

import psutil
import pytest

from harness import BIN, PATIENCE, OtlpSink, clean_environment, wait_until

PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: print("INT" + "ERRUPT", flush=True))
print(f"process {os.getpid()} is rea" + "dy", flush=True)
while line := sys.stdin.readline():
    print("<" + line.strip() + ">", flush=True)
sys.exit(7)
"""


class Terminal:
    """A terminal in which an interactive shell runs."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.output = ""
        self._pid, self._descriptor = os.forkpty()
        if self._pid == 0:
            bash = ["bash", "--norc", "--noprofile", "-i"]
            os.execvpe("bash", bash, environment)

    def type(self, text: str) -> None:
        """Write to the terminal, and forget what it has shown."""
        self.output = ""
        os.write(self._descriptor, text.encode())

    def shows(self, text: str) -> bool:
        """Wait until the terminal shows a text."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output and time.monotonic() < deadline:
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self.output += os.read(self._descriptor, 4096).decode(errors="replace")
        return text in self.output

    def close(self) -> None:
        """End the shell and what runs in it."""
        os.close(self._descriptor)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


@pytest.mark.parametrize("wall", ["", "--wall 1000"])
def test_job_control(wall: str, default_signals: None) -> None:
    """Ctrl-Z stops the command, `fg` continues it, it reads from the terminal, and Ctrl-C reaches it once."""
    with OtlpSink() as sink:
        terminal = Terminal(clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, PROGRAM=PROGRAM))
        try:
            _use(terminal, f'{BIN}/sandscope exec {wall} -- {sys.executable} -c "$PROGRAM"')
        finally:
            terminal.close()
    assert len(sink.spans) == 1


def _use(terminal: Terminal, command: str) -> None:
    started = _exchange(terminal, f"{command}\n", "ready")
    program = psutil.Process(int(re.findall(r"process (\d+) is ready", started)[0]))
    _exchange(terminal, "one\n", "<one>")
    _exchange(terminal, "\x1a", "Stopped")
    # The shell has seen `sandscope` stop. Until the program itself has stopped, it would read what is typed.
    assert wait_until(lambda: program.status() == psutil.STATUS_STOPPED)
    _exchange(terminal, "fg\n", command[-10:])
    _exchange(terminal, "two\n", "<two>")
    _exchange(terminal, "\x03", "INTERRUPT")
    assert "INTERRUPT" not in _exchange(terminal, "three\n", "<three>"), "a second one"
    _exchange(terminal, "\x04", "exit code 7")
    _exchange(terminal, "echo code=$?\n", "code=7")


def _exchange(terminal: Terminal, typed: str, shown: str) -> str:
    """Type, wait until the terminal shows a text, and return what it shows."""
    terminal.type(typed)
    assert terminal.shows(shown), (typed, terminal.output)
    return terminal.output
