"""``sandscope up`` and ``sandscope down``: a Collector in the background, and only that one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import BIN, PATIENCE, clean_environment, collector_ports, requires_otelcol, wait_until
from sandscope._cli import _started
from sandscope._cli._started import Process, Started, start_of
from sandscope._cli.main import main

pytestmark = pytest.mark.collector


class Place:
    """A data folder with ports of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.ports = collector_ports()
        self.variables = {"SANDSCOPE_DATA": str(data), **self.ports.environment}

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "sandscope"), *words],
            env=clean_environment(**self.variables, **variables),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ports.otlp_http)) == 0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    requires_otelcol()
    place = Place(tmp_path / "data")
    yield place
    if place.data.is_dir():
        (place.data / "up.lock").touch()
        place.run("down")


def test_up_and_down(place: Place) -> None:
    up = place.run("up")
    assert up.returncode == 0, up.stderr
    endpoint = f"http://127.0.0.1:{place.ports.otlp_http}"
    assert up.stdout.startswith(f"ready: export OTEL_EXPORTER_OTLP_ENDPOINT={endpoint} for your programs;")
    again = place.run("up")
    assert (again.returncode, again.stdout.partition(":")[0]) == (0, "it runs already")
    program = [str(BIN / "opentelemetry-instrument"), sys.executable, "-c"]
    recorded = "import subprocess; subprocess.run(['true'])"
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    subprocess.run([*program, recorded], env=environment, check=True, timeout=PATIENCE)
    down = place.run("down")
    assert (down.returncode, down.stdout) == (0, f"stopped; the telemetry is in {place.data}\n")
    assert not place.listens()
    assert "sandbox.verdict.status" in (place.data / "traces.jsonl").read_text()
    assert place.run("down").stdout.startswith("nothing to stop")
    assert not (place.data / "up.json").exists()


def test_the_page_runs_until_down(place: Place) -> None:
    up = place.run("up")
    assert up.returncode == 0, up.stderr
    (address,) = re.findall(r"to look at them: (http://\S+) or sandscope top", up.stdout)
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(address, timeout=PATIENCE) as answer:
        assert "Sandscope" in answer.read().decode()
    assert address in place.run("up").stdout
    assert (place.data / "up.json").stat().st_mode & 0o077 == 0
    started = _started.read(place.data)
    assert started is not None
    assert started.page is not None
    assert place.run("down").returncode == 0
    assert not started.page.runs


def test_without_the_page(place: Place) -> None:
    up = place.run("up", "--no-page")
    assert up.returncode == 0, up.stderr
    assert (
        "to look at them: sandscope view --data " in up.stdout
        or "to look at them: sandscope view or" in up.stdout
    )
    assert not (place.data / "view.log").exists()


def test_a_port_that_is_in_use(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.ports.otlp_http)):
        up = place.run("up")
    assert up.returncode == 2
    assert re.search(r"Cannot listen on .* is in use. Choose another with --otlp-http-port", up.stderr)
    assert not (place.data / "up.json").exists()
    assert place.run("up").returncode == 0


def test_one_that_was_killed(place: Place) -> None:
    assert place.run("up").returncode == 0
    started = _started.read(place.data)
    assert started is not None
    os.kill(started.collector.pid, signal.SIGKILL)
    assert wait_until(lambda: not place.listens())
    assert place.run("up").stdout.startswith("ready: ")
    assert place.run("down").stdout.startswith("stopped")


def test_a_stranger_with_the_same_id_is_left_alone(place: Place) -> None:
    place.data.mkdir()
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        _started.write(
            place.data, Started(Process(stranger.pid, "before the reboot/123"), "http://127.0.0.1:1")
        )
        assert place.run("down").stdout.startswith("nothing to stop: the Collector had ended already")
        assert start_of(stranger.pid) is not None
        _started.write(
            place.data, Started(Process(stranger.pid, "before the reboot/123"), "http://127.0.0.1:1")
        )
        assert place.run("up").stdout.startswith("ready: ")
        assert stranger.poll() is None
        stranger.kill()


def test_stores_that_are_not_built(place: Place, tmp_path: Path) -> None:
    up = place.run("up", "--stores", SANDSCOPE_CACHE=str(tmp_path / "empty"))
    assert up.returncode == 2
    assert "sandscope stores build" in up.stderr
    assert not place.listens()


_GOOD = {
    "collector": {"pid": 1, "since": "x"},
    "endpoint": "",
    "stores": False,
    "page": None,
    "address": "",
}
DAMAGED = [
    *("", "[]", "{}", "7"),
    *(
        json.dumps({**_GOOD, **change})
        for change in (
            {"collector": {"pid": "1", "since": ""}},
            {"collector": {"pid": -1, "since": "x"}},
            {"collector": {"pid": 1}},
            {"page": {"pid": 1, "since": 7}},
            {"address": None},
            {"more": 1},
        )
    ),
]


@pytest.mark.parametrize("text", DAMAGED)
@pytest.mark.parametrize("command", ["up", "down"])
def test_a_damaged_file(tmp_path: Path, text: str, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "up.json").write_text(text)
    assert main([command, "--data", str(tmp_path)]) == 2
    assert "and remove this file" in capfd.readouterr().err


def test_folders_that_cannot_be_used(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main(["up", "--data", str(file)]) == 2
    assert "it is not a folder. Choose another folder with --data." in capfd.readouterr().err
    assert main(["down", "--data", str(tmp_path / "nowhere")]) == 2
    assert "nothing was started there" in capfd.readouterr().err


def test_two_at_the_same_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with _started.alone(tmp_path):
        assert main(["down", "--data", str(tmp_path)]) == 2
    assert "another `sandscope up` or `down` is using it" in capfd.readouterr().err
