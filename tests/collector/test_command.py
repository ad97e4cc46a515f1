from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from collector.test_signals import send_all, wait_for
from harness import collector_ports, wait_until
from sandscope._cli.main import main
from sandscope._collector import Composition
from sandscope._collector._collector_process import is_ready

pytestmark = pytest.mark.collector
COMMAND = [
    sys.executable,
    "-c",
    "import sys; from sandscope._cli.main import main; sys.exit(main())",
    "collector",
]


def wait_until_ready(port: int) -> None:
    assert wait_until(lambda: is_ready(port)), "the Collector is not ready"


def test_path_prints_the_binary(otelcol: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collector", "path"]) == 0
    assert capsys.readouterr().out == f"{otelcol}\n"


def test_components_lists_what_the_overlays_need(otelcol: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["collector", "components", "--otelcol", str(otelcol)]) == 0
    listed = capfd.readouterr().out
    assert all(f"- name: {name}\n" in listed for name in ("otlp_grpc", "otlp_http", "file", "prometheus"))


@pytest.mark.usefixtures("otelcol")
def test_validate_says_what_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collector", "validate", "local", "prometheus"]) == 0
    assert capsys.readouterr().out == "base + local + prometheus: valid\n"


@pytest.mark.usefixtures("otelcol")
@pytest.mark.parametrize("action", ["validate", "run"])
def test_a_broken_file_ends_the_command_with_its_name(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("exporters: [\n")
    assert main(["collector", action, "local", str(mine)]) == 2
    assert f"Correct {mine}." in capsys.readouterr().err


@pytest.mark.usefixtures("otelcol")
@pytest.mark.parametrize("name", ["otlp-http", "otlp-grpc", "health", "prometheus"])
def test_a_taken_port_ends_the_command_with_the_flag(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, port in collector_ports().environment.items():
        monkeypatch.setenv(variable, port)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        chosen = [f"--{name}-port", str(port), "--data", str(tmp_path)]
        assert main(["collector", "run", "local", "prometheus", *chosen]) == 2
    said = capsys.readouterr().err
    assert f":{port}'" in said
    assert f"--{name}-port" in said


@pytest.mark.usefixtures("otelcol")
def test_run_becomes_the_collector_and_says_where_it_listens_and_writes(tmp_path: Path) -> None:
    ports, data = collector_ports(), tmp_path / "data"
    command = [*COMMAND, "run", "--data", str(data), "--otlp-http-port", str(ports.otlp_http)]
    environment = {**os.environ, **ports.environment, "SANDSCOPE_OTLP_HTTP_PORT": "1"}
    log = tmp_path / "stderr"
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True) as run,
    ):
        assert run.stdout is not None
        first_line = run.stdout.readline()
        wait_until_ready(ports.health)
        send_all(f"http://127.0.0.1:{ports.otlp_http}")
        assert wait_for(data / "logs.jsonl")  # it is ready a little before it handles SIGTERM
        run.terminate()
        assert run.wait(60) == 0
    http, grpc = f"http://127.0.0.1:{ports.otlp_http}", f"127.0.0.1:{ports.otlp_grpc} (gRPC)"
    assert first_line == f"OTLP on {http} and {grpc} -> local; files in {data}\n"
    assert "Shutdown complete" in log.read_text()


def test_the_help_names_each_overlay(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["collector", "run", "--help"])
    said = re.sub(r"\s+", "", capsys.readouterr().out)
    files = Composition.of("local").files[1].parent.glob("*.yaml")
    assert [file.stem for file in files if file.stem not in said] == []
