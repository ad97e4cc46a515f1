"""``sandscope top``: one frame, and the live view in a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from harness import BIN, PATIENCE, clean_environment
from harness._local_store import Store, attributes, request, span
from sandscope._cli.main import main

HOSTILE = "[bold]<b>\x1b]0;title\x07\x1b[31m[/bold]"
VERDICT = {"sandbox__verdict__status": "TLE", "sandbox__verdict__actor": "kernel"}


def _just_now(number: int, **changes: object) -> dict[str, object]:
    start = time.time_ns() - 10**9
    return span(number, startTimeUnixNano=str(start), endTimeUnixNano=str(start + 2_000_000), **changes)


def _failed(number: int, name: str) -> dict[str, object]:
    given = attributes(sandbox__runtime="wasmtime", sandbox__verdict__cause="tle_fuel", **VERDICT)
    return _just_now(number, name=name, attributes=given)


def _running(value: int) -> str:
    point = {
        "timeUnixNano": str(time.time_ns()),
        "asInt": str(value),
        "attributes": attributes(sandbox__runtime="a"),
    }
    metric = {
        "name": "sandbox.execution.active",
        "sum": {"aggregationTemporality": 2, "dataPoints": [point]},
    }
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}) + "\n"


def _once(data: Path, *words: str) -> str:
    command = [str(BIN / "sandscope"), "top", "--once", "--data", str(data), *words]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def test_one_frame(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(request(*map(_just_now, range(8)), _failed(8, "spin"), _failed(9, "spin")))
    store.add(_running(1) + _running(3), "metrics.jsonl")
    said = _once(tmp_path)
    assert "1.0/s now  10 executions  3 running  80.0 % succeeded  2 did not  p50 2.0 ms" in said
    assert "time limit exceeded (TLE)   tle_fuel" in said
    assert re.search(r"spin +time limit exceeded, ended by the kernel: tle_fuel +2.0 ms", said)
    assert "\x1b" not in said
    assert "quits" not in said


def test_hostile_names_are_text(tmp_path: Path) -> None:
    Store(tmp_path).add(request(_failed(1, HOSTILE)))
    said = _once(tmp_path)
    assert said.count("[bold]<b>\\x1b]0;title\\x07\\x1b[31m[/bold]") == 2
    assert "\x1b" not in said


def test_nothing_lately(tmp_path: Path) -> None:
    assert "Record some with: sandscope run -- python app.py" in _once(tmp_path)
    Store(tmp_path).add(request(span(1)))  # long ago
    assert "Nothing has run in the last 30s. For what ran before: sandscope top --since 1d" in _once(
        tmp_path, "--since", "30s"
    )


@pytest.mark.parametrize("since", ["soon", "5", "-5m", "5y", "", "\u0665m"])
def test_a_wrong_time(tmp_path: Path, since: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["top", f"--since={since}", "--data", str(tmp_path)]) == 2
    assert f"Cannot use --since {since!r}" in capfd.readouterr().err


def test_no_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--data", str(tmp_path / "nowhere")]) == 2
    assert "there is no such folder" in capfd.readouterr().err


class _Live:
    """The live view in a terminal of its own."""

    def __init__(self, data: Path) -> None:
        self.output = ""
        self.pid, self.terminal = os.forkpty()
        if self.pid == 0:
            command = [str(BIN / "sandscope"), "top", "--data", str(data)]
            os.execve(command[0], command, clean_environment(TERM="xterm-256color"))
        self.size(40, 120)
        self.before = termios.tcgetattr(self.terminal)

    def size(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def shows(self, text: str) -> bool:
        self.output = ""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output and time.monotonic() < deadline:
            self._read()
        return text in self.output

    def ended(self) -> tuple[int, str]:
        """Wait for its end, and return its exit code and what it wrote last."""
        self.output = ""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                assert termios.tcgetattr(self.terminal) == self.before
                self._read()
                os.close(self.terminal)
                return os.waitstatus_to_exitcode(status), self.output
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"it did not end: {self.output}")

    def _read(self) -> None:
        if select.select([self.terminal], [], [], 0.05)[0]:
            try:
                self.output += os.read(self.terminal, 65536).decode(errors="replace")
            except OSError:
                return  # nobody has it open any more


@pytest.mark.parametrize("end", ["q", "\x03", signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_terminal_is_as_it_was(tmp_path: Path, end: str | int) -> None:
    data = tmp_path / "data"  # it comes later
    live = _Live(data)
    assert live.shows("Record some with: sandscope run")
    data.mkdir()
    Store(data).add(request(_just_now(1, name="first")))
    assert live.shows("first")
    live.size(24, 60)
    Store(data).add(request(_just_now(2, name="second")))
    assert live.shows("second")
    if isinstance(end, str):
        os.write(live.terminal, end.encode())
    else:
        os.kill(live.pid, end)
    code, last = live.ended()
    assert code == 0
    assert "\x1b[?1049l" in last  # the screen that was there before
    assert "\x1b[?25h" in last  # the cursor
