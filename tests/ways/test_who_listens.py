"""``sandscope run`` sends to its own Collector, or to the one that the user names, and says which."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import (
    PATIENCE,
    SANDSCOPE_RUN,
    OtlpSink,
    clean_environment,
    free_ports,
    requires_otelcol,
    run_program,
    wait_until,
)

pytestmark = [pytest.mark.collector, pytest.mark.usefixtures("default_signals")]
ONE_CHILD = "import subprocess; subprocess.run(['true'])"
OWN = r"sandscope: telemetry goes to this run's own Collector, (http://127\.0\.0\.1:\d+)\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment that says nothing of ports, as a newcomer's."""
    requires_otelcol()
    return clean_environment(SANDSCOPE_DATA=str(tmp_path / "data"))


def _run(
    environment: dict[str, str], *options: str, program: str = ONE_CHILD
) -> subprocess.CompletedProcess[str]:
    return run_program(program, way=[*SANDSCOPE_RUN[:2], *options, "--"], environment=environment)


def _names(folder: Path) -> list[str]:
    """Return the names of the spans that a Collector has written."""
    return re.findall(r'"name":"([\w-]+)","kind"', (folder / "traces.jsonl").read_text())


def _start(command: Sequence[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True)


def test_each_run_has_a_collector_of_its_own_on_free_ports(environment: dict[str, str]) -> None:
    runs = [_run(environment) for _ in range(2)]
    first, second = (re.match(OWN, run.stderr) for run in runs)
    assert first, runs[0].stderr
    assert second, runs[1].stderr
    assert first[1] != second[1]
    assert _names(Path(environment["SANDSCOPE_DATA"])) == ["true", "true"]


def test_a_strangers_server_gets_nothing(environment: dict[str, str]) -> None:
    with OtlpSink() as stranger:
        environment["SANDSCOPE_OTLP_HTTP_PORT"] = stranger.endpoint.rpartition(":")[2]
        run = _run(environment, program="print('never')")
        assert stranger.requests == 0
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"sandscope: Cannot listen on '{stranger.endpoint.removeprefix('http://')}'")


def test_two_runs_at_once_keep_their_files_apart(tmp_path: Path) -> None:
    requires_otelcol()
    ready, go = tmp_path / "ready", tmp_path / "go"
    program = f"""
import pathlib, subprocess, time
subprocess.run(["true"])
pathlib.Path({str(ready)!r}).touch()
while not pathlib.Path({str(go)!r}).exists():
    time.sleep(0.05)
subprocess.run(["true"])
"""
    command = [*SANDSCOPE_RUN, sys.executable, "-c"]
    first = _start([*command, program], clean_environment(), tmp_path)
    try:
        assert wait_until(ready.exists)
        second = _start(
            [*command, "import subprocess; subprocess.run(['false'])"], clean_environment(), tmp_path
        )
        said_by_second = second.communicate(timeout=PATIENCE)[1]
        go.touch()
        said_by_first = first.communicate(timeout=PATIENCE)[1]
    finally:
        first.kill()
        first.wait()
    assert (first.returncode, second.returncode) == (0, 0)
    data = tmp_path / "sandscope-data"
    look = "to look at it: sandscope report\n"
    assert said_by_first.endswith(f"\nsandscope: the telemetry is in {data}; {look}")
    assert said_by_second.endswith(f" is in {data}/2, because another Collector is writing to {data}; {look}")
    assert (_names(data), _names(data / "2")) == (["true", "true"], ["false"])
    for folder in (data, data / "2"):
        assert (folder / "otelcol.log").read_text().count("Everything is ready") == 1


def test_a_folder_that_the_user_chose_is_not_replaced(environment: dict[str, str], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    first = _start([*SANDSCOPE_RUN, sys.executable, "-c", program], environment, tmp_path)
    try:
        assert wait_until(ready.exists)
        run = _run(environment)
    finally:
        first.terminate()
        first.communicate()
    assert run.returncode == 2
    assert run.stderr == (
        f"sandscope: Cannot write to {environment['SANDSCOPE_DATA']!r}: another Collector writes its files there. "
        "Choose another folder with --data.\n"
    )


def test_a_collector_that_an_option_names_is_used(environment: dict[str, str]) -> None:
    environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://127.0.0.1:9/v1/traces"
    with OtlpSink() as sink:
        run = _run(environment, "--collector", sink.endpoint)
    said = f"sandscope: telemetry goes to {sink.endpoint} (--collector)\n"
    assert (run.returncode, run.stderr) == (0, said)
    assert sink.names() == ["true"]
    assert not Path(environment["SANDSCOPE_DATA"]).exists()


def test_a_collector_that_the_environment_names_is_used(environment: dict[str, str]) -> None:
    with OtlpSink() as sink:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = sink.endpoint
        run = _run(environment)
    said = f"sandscope: telemetry goes to {sink.endpoint} (OTEL_EXPORTER_OTLP_ENDPOINT)\n"
    assert (run.returncode, run.stderr) == (0, said)
    assert sink.names() == ["true"]


def test_an_option_comes_before_the_environment(environment: dict[str, str], tmp_path: Path) -> None:
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    assert re.match(OWN, _run(environment, "--data", str(tmp_path / "mine")).stderr)
    assert _names(tmp_path / "mine") == ["true"]


def test_signals_without_an_endpoint_of_their_own_go_to_the_runs_collector(
    environment: dict[str, str],
) -> None:
    with OtlpSink() as sink:
        environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{sink.endpoint}/v1/traces"
        run = _run(environment)
    assert (
        f"sandscope: traces go to {sink.endpoint}/v1/traces (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)"
        in run.stderr
    )
    assert (sink.names(), sink.metrics, sink.logs) == (["true"], [], [])
    data = Path(environment["SANDSCOPE_DATA"])
    assert all((data / f"{signal}.jsonl").read_text() for signal in ("metrics", "logs"))


def test_each_signal_is_sent_by_its_own_protocol(environment: dict[str, str]) -> None:
    environment["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "grpc"
    run = _run(environment)
    assert re.fullmatch(OWN + "sandscope: 1 execution .*\nsandscope: the telemetry is in .*\n", run.stderr)
    assert _names(Path(environment["SANDSCOPE_DATA"])) == ["true"]


def test_a_proxy_gets_nothing(environment: dict[str, str]) -> None:
    with OtlpSink() as proxy:
        _run(environment | {"HTTP_PROXY": proxy.endpoint, "NO_PROXY": "example.com"})
        assert proxy.requests == 0
    assert _names(Path(environment["SANDSCOPE_DATA"])) == ["true"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--collector", "localhost:4318"], "Cannot use --collector 'localhost:4318': it is not a URL."),
        (
            ["--collector", "http://localhost:no"],
            "Cannot use --collector 'http://localhost:no': it is not a URL.",
        ),
        (["--collector", "http://localhost:4318", "--with", "local"], "Cannot use --collector with --with,"),
    ],
)
def test_an_unclear_destination_is_refused(
    environment: dict[str, str], options: list[str], said: str
) -> None:
    run = _run(environment, *options, program="print('never')")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"sandscope: {said}")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "cause"),
    [("file", "it is not a folder"), ("file/data", "not a directory")],
    ids=["file", "below"],
)
def test_a_folder_that_cannot_be_made_is_one_line(
    environment: dict[str, str], tmp_path: Path, path: str, cause: str
) -> None:
    (tmp_path / "file").touch()
    run = _run(environment, "--data", str(tmp_path / path), program="print('never')")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        f"sandscope: Cannot write to '{tmp_path / path}': {cause}. "
        "Choose another folder with --data or SANDSCOPE_DATA.\n"
    )


def test_what_the_collector_could_not_deliver_is_said(environment: dict[str, str]) -> None:
    environment["SANDSCOPE_JAEGER_ENDPOINT"] = f"127.0.0.1:{free_ports(['jaeger'])['jaeger']}"
    said = _run(environment, "--with", "local", "--with", "jaeger").stderr
    reported = "records that were not sent: 1. If its queue is on disk, the next start sends them. Its log: "
    assert f"sandscope: the Collector reports: otlp_grpc/jaeger: {reported}" in said


def test_a_collector_that_ends_before_the_program_is_reported(environment: dict[str, str]) -> None:
    program = """
import os, pathlib, signal, time
(parent,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("PPid")]
for pid in pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
    if int(pid) != os.getpid():
        os.kill(int(pid), signal.SIGKILL)
        # A zombie cannot be waited for before its last thread has ended.
        proc = pathlib.Path(f"/proc/{pid}")
        while "State:\\tZ" not in (proc / "status").read_text() or len(list((proc / "task").iterdir())) > 1:
            time.sleep(0.01)
os._exit(5)
"""
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    run = _run(environment, program=program)
    assert run.returncode == 5
    assert "\nsandscope: the Collector has ended before the program. Its log: " in run.stderr


def test_a_closed_stderr_is_left_alone(environment: dict[str, str]) -> None:
    command = f'exec {SANDSCOPE_RUN[0]} run -- {sys.executable} -c "print(1)" 2>&- <&-'
    run = subprocess.run(
        ["sh", "-c", command], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "1\n")


def test_a_stderr_that_nobody_reads_does_not_hold_the_program_up(environment: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(writer, b"x" * size)
        except BlockingIOError:
            pass
    os.set_blocking(writer, True)
    command = [*SANDSCOPE_RUN, sys.executable, "-c", "raise SystemExit(6)"]
    try:
        run = subprocess.run(command, env=environment, stderr=writer, timeout=PATIENCE, check=False)
    finally:
        os.close(reader)
        os.close(writer)
    assert run.returncode == 6
