from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.test_signals import send_all, wait_for
from harness import PATIENCE, collector_ports, wait_until
from sandscope import SandscopeError
from sandscope._collector import CollectorProcess, Composition, FolderInUseError

Start = Callable[..., CollectorProcess]
pytestmark = [pytest.mark.collector, pytest.mark.usefixtures("otelcol")]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pid: int) -> None:
    """Wait until a process that is not our child has ended, whether or not somebody has collected it."""

    def gone() -> bool:
        try:
            return ") Z " in Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True

    assert wait_until(gone), f"process {pid} still runs"


def test_it_takes_telemetry_once_started_and_is_gone_once_stopped(start: Start) -> None:
    collector = start("local")
    pid = collector.pid
    assert pid is not None
    for port in (collector.ports.otlp_http, collector.ports.otlp_grpc):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    send_all(collector.endpoint)
    collector.stop()
    assert not is_running(pid)
    assert collector.pid is None
    assert "Shutdown complete" in collector.log.read_text()
    assert wait_for(collector.data / "logs.jsonl")


LATE = """#!{python}
import http.server, os, pathlib, signal, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

if sys.argv[1] != "validate":
    server = http.server.HTTPServer(("127.0.0.1", int(os.environ["SANDSCOPE_HEALTH_PORT"])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    time.sleep(1)  # ready, as the Collector says, but a signal would still end it
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(1))
    while not stopped:
        time.sleep(0.01)
    print("Shutdown complete", flush=True)
"""


def imitation(path: Path, program: str) -> Path:
    path.write_text(program.replace("{python}", sys.executable))
    path.chmod(0o755)
    return path


def test_it_is_started_only_when_a_signal_does_not_end_it_without_a_flush(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    late = imitation(tmp_path / "otelcol", LATE)
    collector = CollectorProcess(
        Composition.of("local"), data=tmp_path, ports=collector_ports(), otelcol=late
    )
    begun = time.monotonic()
    collector.start()
    assert time.monotonic() - begun >= 1
    collector.stop()
    assert collector.log.read_text().endswith("Shutdown complete\n")


def test_a_stranger_that_answers_on_its_port_is_not_taken_for_it(tmp_path: Path) -> None:
    """The Collector has not yet noticed that its port was taken in the meantime."""
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    answering = LATE.replace("    stopped = []", "    os._exit(1)")
    collector = CollectorProcess(
        Composition.of("local"),
        data=tmp_path,
        ports=collector_ports(),
        otelcol=imitation(tmp_path / "otelcol", answering),
    )
    with pytest.raises(SandscopeError):
        collector.start()
    assert collector.pid is None


def test_stopping_twice_or_before_the_start_does_no_harm(otelcol: Path, tmp_path: Path) -> None:
    collector = CollectorProcess(
        Composition.of("local"), data=tmp_path, ports=collector_ports(), otelcol=otelcol
    )
    collector.stop()
    collector.start()
    collector.stop()
    collector.stop()


def test_it_ends_even_if_it_hangs(start: Start) -> None:
    collector = start("local")
    pid = collector.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    collector.stop(timeout=0.2)
    assert not is_running(pid)


def test_its_data_is_for_its_owner_only(start: Start) -> None:
    collector = start("local")
    assert collector.data.stat().st_mode & 0o077 == 0
    assert collector.log.stat().st_mode & 0o077 == 0


def test_a_log_that_others_may_read_becomes_private(start: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "otelcol.log").touch(mode=0o644)
    assert start("local").log.stat().st_mode & 0o077 == 0


def test_two_collectors_do_not_write_to_one_folder(start: Start, tmp_path: Path) -> None:
    first = start("local")
    log = first.log.read_text()
    with pytest.raises(FolderInUseError, match="another Collector writes its files there"):
        start("local")
    assert first.log.read_text() == log
    first.stop()
    start("local")


def test_a_taken_port_is_an_error_with_the_port_and_the_flag(otelcol: Path, tmp_path: Path) -> None:
    ports = collector_ports()
    collector = CollectorProcess(Composition.of("local"), data=tmp_path, ports=ports, otelcol=otelcol)
    with (
        socket.create_server(("127.0.0.1", ports.otlp_grpc)),
        pytest.raises(SandscopeError, match=f"{ports.otlp_grpc}.*--otlp-grpc-port"),
    ):
        collector.start()
    assert collector.pid is None


def test_a_start_that_fails_shows_the_collectors_own_message(start: Start, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    # Valid, but it cannot start: there is no folder for its file.
    mine.write_text(
        f"exporters: {{file/local-logs: {{path: {tmp_path}/mine.yaml/logs, create_directory: true}}}}\n"
    )
    with pytest.raises(SandscopeError) as caught:
        start("local", mine)
    assert "not a directory" in str(caught.value)
    assert str(caught.value).endswith(f"Correct {mine}.")


def test_what_is_not_a_collector_is_an_error(tmp_path: Path) -> None:
    imitation = tmp_path / "otelcol"
    imitation.write_text("#!/bin/sh\n")
    imitation.chmod(0o755)
    collector = CollectorProcess(
        Composition.of("local"), data=tmp_path, ports=collector_ports(), otelcol=imitation
    )
    with pytest.raises(SandscopeError, match="it exited without a message"):
        collector.start()


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_it_ends_when_its_parent_is_killed(otelcol: Path, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from sandscope._collector import CollectorProcess, Composition, Ports\n"
        "otelcol, data = map(Path, sys.argv[1:])\n"
        "local, free = Composition.of('local'), Ports.free()\n"
        "collector = CollectorProcess(local, data=data, ports=free, otelcol=otelcol)\n"
        "collector.start()\n"
        "print(collector.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(otelcol), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    wait_until_gone(pid)
