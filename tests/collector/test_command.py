from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from collector.test_signals import send_all, wait_for
from harness import PATIENCE, collector_ports, free_ports, wait_until
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


@pytest.fixture
def environment(otelcol: Path, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, **collector_ports().environment, "SANDSCOPE_DATA": str(tmp_path / "data")}


@contextmanager
def running(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the Collector in the foreground; it is killed at the end."""
    command, pipe = [*COMMAND, "run", *arguments], subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_run_says_once_that_it_is_ready_and_can_then_be_stopped(
    environment: dict[str, str], number: int
) -> None:
    data = Path(environment["SANDSCOPE_DATA"])
    http, grpc = (environment[f"SANDSCOPE_OTLP_{protocol}_PORT"] for protocol in ("HTTP", "GRPC"))
    with running(environment) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == (
            f"ready: OTLP on http://127.0.0.1:{http} and 127.0.0.1:{grpc} (gRPC) -> local; files and log in {data}\n"
        )
        run.send_signal(number)
        assert run.communicate(timeout=PATIENCE) == ("", "")
        assert run.returncode == 0
    assert "Shutdown complete" in (data / "otelcol.log").read_text()


def test_an_option_comes_before_its_variable(environment: dict[str, str], tmp_path: Path) -> None:
    chosen = environment["SANDSCOPE_OTLP_HTTP_PORT"]
    options = ["--otlp-http-port", chosen, "--data", str(tmp_path / "chosen")]
    with running({**environment, "SANDSCOPE_OTLP_HTTP_PORT": "1"}, *options) as run:
        assert run.stdout is not None
        assert f":{chosen} " in run.stdout.readline()
        send_all(f"http://127.0.0.1:{chosen}")
        run.terminate()
        run.wait(PATIENCE)
    assert wait_for(tmp_path / "chosen" / "logs.jsonl")


def test_run_shows_what_the_collector_cannot_deliver(environment: dict[str, str]) -> None:
    environment["SANDSCOPE_LOKI_ENDPOINT"] = f"http://127.0.0.1:{free_ports(['loki'])['loki']}/otlp"
    with running(environment, "loki") as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.readline().endswith(f" -> loki; log in {environment['SANDSCOPE_DATA']}\n")
        with suppress(Exception):
            send_all(f"http://127.0.0.1:{environment['SANDSCOPE_OTLP_HTTP_PORT']}")
        said = run.stderr.readline()
    assert said.startswith("otelcol: otlp_http/loki: Exporting failed. Will retry"), said
    assert "refused" in said


def test_run_shows_the_telemetry_with_debug(environment: dict[str, str]) -> None:
    with running(environment, "debug") as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        send_all(f"http://127.0.0.1:{environment['SANDSCOPE_OTLP_HTTP_PORT']}")
        assert any("Name           : test span" in line for line in run.stderr)


def test_run_can_be_stopped_though_nobody_reads_what_it_shows(environment: dict[str, str]) -> None:
    with running(environment, "debug") as run:
        assert run.stdout is not None
        run.stdout.readline()
        for _ in range(30):  # several times what a pipe holds
            send_all(f"http://127.0.0.1:{environment['SANDSCOPE_OTLP_HTTP_PORT']}")
        run.terminate()
        assert run.wait(PATIENCE) == 0


def _otelcol_of(run: subprocess.Popen[str]) -> int:
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    (child,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return int(child)


def test_a_collector_that_ends_by_itself_is_started_again(environment: dict[str, str]) -> None:
    with running(environment) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        os.kill(_otelcol_of(run), signal.SIGKILL)
        log = f"{environment['SANDSCOPE_DATA']}/otelcol.log"
        assert run.stderr.readline() == (
            f"sandscope: the Collector exited unexpectedly (SIGKILL); its log: {log}; it is started again in 1 s\n"
        )
        assert run.stderr.readline() == "sandscope: the Collector is ready again\n"
        send_all(f"http://127.0.0.1:{environment['SANDSCOPE_OTLP_HTTP_PORT']}")
        os.kill(_otelcol_of(run), signal.SIGKILL)
        assert "it is started again in 2 s" in run.stderr.readline()
        run.terminate()  # while it waits
        run.communicate(timeout=PATIENCE)
    assert run.returncode == 0
    assert wait_for(Path(environment["SANDSCOPE_DATA"]) / "traces.jsonl")
    assert Path(log).read_text().count("Everything is ready") == 2


def test_a_file_that_changes_is_read_again(environment: dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("exporters: {debug: {verbosity: basic}}\n")
    with running(environment, "local", str(mine)) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        mine.write_text("exporters: {debug: {loudness: 3}}\n")
        assert any("invalid keys: loudness" in line for line in run.stderr)
        assert any("The Collector continues with its current configuration" in line for line in run.stderr)
        pipeline = "{receivers: [forward/received], exporters: [file/mine]}"
        mine.write_text(
            f"exporters: {{file/mine: {{path: {tmp_path}/mine.jsonl}}}}\n"
            f"service: {{pipelines: {{traces/mine: {pipeline}}}}}\n"
        )
        assert any("the Collector reads it again" in line for line in run.stderr)
        assert wait_until((tmp_path / "mine.jsonl").exists)
        assert wait_until(lambda: is_ready(int(environment["SANDSCOPE_HEALTH_PORT"])))
        send_all(f"http://127.0.0.1:{environment['SANDSCOPE_OTLP_HTTP_PORT']}")
        run.terminate()
        run.communicate(timeout=PATIENCE)
    assert run.returncode == 0
    assert wait_for(tmp_path / "mine.jsonl")


@pytest.mark.usefixtures("otelcol")
def test_print_config_shows_the_merged_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        'exporters: {otlp_http: {endpoint: "http://127.0.0.1:1", headers: {Authorization: "s3cret"}}}\n'
    )
    assert (
        main(["collector", "run", "--print-config", "--otlp-http-port", "12345", "prometheus", str(mine)])
        == 0
    )
    printed = capfd.readouterr().out
    shown = yaml.safe_load(printed)
    assert shown["receivers"]["otlp"]["protocols"]["http"]["endpoint"] == "127.0.0.1:12345"
    assert "metrics/prometheus" in shown["service"]["pipelines"]
    assert "s3cret" not in printed


@pytest.mark.usefixtures("otelcol")
@pytest.mark.parametrize("text", ["http", "0", "70000", " 4318"])
def test_validate_refuses_a_malformed_port(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SANDSCOPE_OTLP_HTTP_PORT", text)
    assert main(["collector", "validate", "local"]) == 2
    said = f"sandscope: Cannot use SANDSCOPE_OTLP_HTTP_PORT={text!r}: it is not a port."
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize("command", [["collector", "run"], ["collector", "validate"], ["run"]], ids=" ".join)
def test_the_help_has_one_line_for_each_overlay(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    said = capsys.readouterr().out.partition("overlays:\n")[2]
    files = sorted(Composition.of("local").files[1].parent.glob("*.yaml"))
    assert [line.split()[0] for line in said.splitlines()] == [file.stem for file in files]
    assert re.search(r"^  loki +a push of log records to the OTLP receiver of Loki", said, re.MULTILINE)
