"""``sandscope run``: a program with a Collector beside it behaves and ends like the program alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from harness import (
    PATIENCE,
    SANDSCOPE_RUN,
    clean_environment,
    collector_ports,
    lacking,
    requires_otelcol,
    run_program,
    wait_until,
)

pytestmark = [pytest.mark.collector, pytest.mark.usefixtures("default_signals")]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return environment variables that give the Collector free ports and its own folder."""
    requires_otelcol()
    return clean_environment(SANDSCOPE_DATA=str(tmp_path / "data"), **collector_ports().environment)


def _is_free(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_the_programs_telemetry_is_in_the_local_files(environment: dict[str, str]) -> None:
    run = run_program(
        "import subprocess; subprocess.run(['true']); raise SystemExit(7)",
        way=SANDSCOPE_RUN,
        environment=environment,
    )
    assert run.returncode == 7
    assert run.stdout == ""
    data = Path(environment["SANDSCOPE_DATA"])
    destination, recorded, place = run.stderr.splitlines()
    address = f"http://127.0.0.1:{environment['SANDSCOPE_OTLP_HTTP_PORT']}"
    assert destination == f"sandscope: telemetry goes to this run's own Collector, {address}"
    assert recorded.startswith("sandscope: 1 execution (1 subprocess): all succeeded; the longest took ")
    assert place == f"sandscope: the telemetry is in {data}; to look at it: sandscope report --data {data}"
    for signal_name in ("traces", "metrics", "logs"):
        lines = (data / f"{signal_name}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines], signal_name
    assert '"name":"true"' in (data / "traces.jsonl").read_text()


def test_the_collector_is_stopped(environment: dict[str, str]) -> None:
    assert run_program("", way=SANDSCOPE_RUN, environment=environment).returncode == 0
    assert all(
        _is_free(environment[name]) for name in environment if name.endswith("_PORT") and "SANDSCOPE" in name
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGABRT])
def test_the_exit_status_of_a_program_killed_by_a_signal_is_kept(
    environment: dict[str, str], number: int
) -> None:
    program = f"import os; os.kill(os.getpid(), {int(number)})"
    assert run_program(program, way=SANDSCOPE_RUN, environment=environment).returncode == -number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_reaches_the_program(environment: dict[str, str], number: int, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = f"""
import pathlib, signal, sys, time
signal.signal({int(number)}, lambda *_: sys.exit(42))
pathlib.Path({str(ready)!r}).touch()
time.sleep(30)
"""
    process = subprocess.Popen([*SANDSCOPE_RUN, sys.executable, "-c", program], env=environment, stderr=-3)
    try:
        assert wait_until(ready.exists)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 42
    finally:
        process.kill()
        process.wait()


def test_the_collector_does_not_outlive_a_killed_sandscope(
    environment: dict[str, str], tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("the end of the parent process is only detected on Linux")
    ready = tmp_path / "ready"
    program = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(3)"
    process = subprocess.Popen([*SANDSCOPE_RUN, sys.executable, "-c", program], env=environment, stderr=-3)
    assert wait_until(ready.exists)
    process.kill()
    process.wait()
    assert wait_until(lambda: _is_free(environment["SANDSCOPE_OTLP_HTTP_PORT"]))


def test_a_port_in_use_is_reported_with_its_flag(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment["SANDSCOPE_OTLP_GRPC_PORT"] = str(port)
        run = run_program("print('never')", way=SANDSCOPE_RUN, environment=environment)
    assert (run.returncode, run.stdout) == (2, "")
    assert f"127.0.0.1:{port}" in run.stderr
    assert "--otlp-grpc-port" in run.stderr


def test_ports_can_be_chosen_by_flags(environment: dict[str, str]) -> None:
    ports = asdict(collector_ports())
    flags = [word for name, port in ports.items() for word in (f"--{name.replace('_', '-')}-port", str(port))]
    way = (*SANDSCOPE_RUN[:2], *flags, "--")
    run = run_program("", way=way, environment=environment)
    assert run.returncode == 0
    assert f"http://127.0.0.1:{ports['otlp_http']}" in run.stderr


def test_ctrl_c_reaches_the_program_once(environment: dict[str, str], tmp_path: Path) -> None:
    """The terminal sends SIGINT to the whole foreground process group: forwarding it would deliver it twice."""
    count, ready = tmp_path / "count", tmp_path / "ready"
    program = f"""
import pathlib, signal, time
got = []
signal.signal(signal.SIGINT, lambda *_: got.append(1))
pathlib.Path({str(ready)!r}).touch()
deadline = time.monotonic() + 60
while not got and time.monotonic() < deadline:
    time.sleep(0.05)
time.sleep(1)  # a second one would come now
pathlib.Path({str(count)!r}).write_text(str(len(got)))
"""
    pid, terminal = os.forkpty()
    if pid == 0:
        os.execve(SANDSCOPE_RUN[0], [*SANDSCOPE_RUN, sys.executable, "-c", program], environment)
    assert wait_until(ready.exists)
    os.write(terminal, b"\x03")
    while True:
        try:
            if not os.read(terminal, 4096):
                break
        except OSError:
            break
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert (os.waitstatus_to_exitcode(status), count.read_text()) == (0, "1")


def test_a_program_does_not_inherit_the_signals_that_python_ignores(environment: dict[str, str]) -> None:
    """With SIGPIPE ignored, the shell's `yes` would complain of a broken pipe."""
    command = [*SANDSCOPE_RUN, "sh", "-c", "yes | head -n 1; grep SigIgn /proc/self/status || true"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "Broken pipe" not in run.stderr
    ignored = int(run.stdout.partition("SigIgn:")[2] or "0", 16)
    assert not ignored >> (signal.SIGPIPE - 1) & 1
    assert not ignored >> (signal.SIGXFSZ - 1) & 1


def test_a_signal_from_outside_of_a_container_reaches_the_program(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Inside, its sender has no process id: `docker stop` is an example."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--map-root-user", "--mount-proc"]
    try:
        possible = subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        lacking("this machine cannot make a process namespace: allow user namespaces, with `unshare`")
    ready = tmp_path / "ready"
    program = f"""
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
pathlib.Path({str(ready)!r}).touch()
time.sleep(60)
"""
    command = [*unshare, *SANDSCOPE_RUN, sys.executable, "-c", program]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(ready.exists)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        assert process.wait(PATIENCE) == 42
    finally:
        process.kill()
        process.wait()
