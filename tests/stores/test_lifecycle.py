"""The stores start together, report their status, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import PATIENCE, free_ports
from harness._stores import requires_stores
from sandscope_collector import stores
from sandscope_collector.stores._store_process import start_time

pytestmark = pytest.mark.stores
GO_STORES = ("prometheus", "jaeger", "loki")


class Command:
    """`sandscope stores` with its own data folder and free ports."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.ports = free_ports(port.name for store in stores.STORES.values() for port in store.ports)

    def up(self, *names: str) -> subprocess.CompletedProcess[str]:
        flags = [word for name, port in self.ports.items() for word in (f"--{name}-port", str(port))]
        return self.run("up", *names, *flags)

    def run(self, action: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sandscope", "stores", action, "--data", str(self.data), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE, check=False)

    def pids(self) -> dict[str, int]:
        rows = [line.split() for line in self.run("status").stdout.splitlines()[1:]]
        return {row[0]: int(row[3]) for row in rows if row[1] == "up"}


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path / "stores")
    yield command
    stores.down(command.data)


@pytest.mark.slow
def test_up_status_and_down_leave_nothing_behind(command: Command) -> None:
    requires_stores(*GO_STORES)
    up = command.up()
    assert up.returncode == 0, up.stderr
    assert f"SANDSCOPE_JAEGER_ENDPOINT=127.0.0.1:{command.ports['jaeger-otlp']}\n" in up.stdout
    for name in GO_STORES:
        assert f"{name} is up at http://127.0.0.1:{command.ports[name]}\n" in up.stderr

    status = command.run("status")
    assert status.returncode == 0
    rows = {row[0]: row[1:] for row in (line.split() for line in status.stdout.splitlines())}
    pids = command.pids()
    for name in GO_STORES:
        assert rows[name][:3] == ["up", f"http://127.0.0.1:{command.ports[name]}", str(pids[name])]
        assert rows[name][3].startswith("v")

    down = command.run("down")
    assert (down.returncode, down.stderr) == (0, "")
    assert not command.data.exists()
    assert [start_time(pid) for pid in pids.values()] == [None] * len(pids)
    assert not any(listens(port) for port in command.ports.values())


def test_up_twice_starts_nothing_twice(command: Command) -> None:
    requires_stores("prometheus")
    command.up("prometheus")
    before = command.pids()
    again = command.up("prometheus")
    assert again.returncode == 0, again.stderr
    assert list(before) == ["prometheus"]
    assert command.pids() == before


def test_up_adds_to_what_runs(command: Command) -> None:
    requires_stores("prometheus", "jaeger")
    command.up("prometheus")
    first = command.pids()
    command.up("jaeger")
    both = command.pids()
    assert list(both) == ["prometheus", "jaeger"]
    assert both["prometheus"] == first["prometheus"]


def test_a_store_that_runs_is_not_moved(command: Command) -> None:
    requires_stores("prometheus")
    command.up("prometheus")
    moved = command.run("up", "prometheus", "--prometheus-port", "1")
    assert moved.returncode == 2
    assert (
        f"Cannot move 'prometheus' to port 1: it is running on {command.ports['prometheus']}" in moved.stderr
    )


def test_a_store_that_died_is_told_and_started_again(command: Command) -> None:
    requires_stores("prometheus")
    command.up("prometheus")
    dead = command.pids()["prometheus"]
    os.kill(dead, signal.SIGKILL)
    status = command.run("status")
    assert status.returncode == 1
    assert status.stdout.splitlines()[1].split()[:2] == ["prometheus", "exited"]
    assert f"prometheus exited by itself: read '{command.data}/prometheus.log'" in status.stderr

    command.up("prometheus")
    assert command.pids()["prometheus"] != dead


def test_stores_outlive_the_signal_that_ends_their_terminal(command: Command) -> None:
    requires_stores("prometheus")
    command.up("prometheus")
    pid = command.pids()["prometheus"]
    assert os.getsid(pid) == pid


def test_nothing_runs(command: Command) -> None:
    status = command.run("status")
    assert status.returncode == 1
    assert {line.split()[1] for line in status.stdout.splitlines()[1:]} <= {"down", "missing"}
    for _ in range(2):
        down = command.run("down")
        assert (down.returncode, down.stdout) == (0, "no store was running\n")
    assert not command.data.exists()


def test_an_interrupted_up_ends_what_it_started(command: Command) -> None:
    requires_stores("prometheus")
    code = """if True:
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        from sandscope._cli.main import main
        from sandscope_collector.stores import _up
        _up.is_ready = lambda store, entry: False
        main()
    """
    port = command.ports["prometheus"]
    words = ["stores", "up", "prometheus", "--data", str(command.data), "--prometheus-port", str(port)]
    with subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not listens(port):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)

    assert command.pids() == {}
    assert not listens(port)


def listens(port: int) -> bool:
    """Return whether a program listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
