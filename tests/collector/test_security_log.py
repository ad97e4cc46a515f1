"""The overlay `security`: security records only, in a file of their own, sealed, and none is lost."""

from __future__ import annotations

import gzip
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from collector._log_records import attributes_of, body_of, records_in, send
from harness import (
    PATIENCE,
    clean_environment,
    collector_ports,
    complete_lines,
    lacking,
    run_program,
    wait_until,
)
from sandscope._audit import seal, verify
from sandscope._collector import CollectorProcess

Start = Callable[..., CollectorProcess]
pytestmark = [pytest.mark.collector, pytest.mark.usefixtures("otelcol")]
TYPE = "security.event.type"
PROGRAM = """
import logging, subprocess, sys
import sandscope, wasmtime

store = wasmtime.Store()
outside = '(drop (i32.load (i32.const 99999999)))'
module = wasmtime.Module(store.engine, f'(module (memory 1) (func (export "trap") {outside}))')
instance = wasmtime.Instance(store, module, [])
try:
    instance.exports(store)["trap"](store)
except wasmtime.Trap:
    pass
subprocess.run([sys.executable, "-c", "1"], check=True)
with sandscope.execution("judge", "run"):
    sandscope.security_event("auth_failure", "wrong password", user={"user.id": "42", "password": "canary-77"})
sandscope.security_event("injection_attempt", attributes={"form.field": "name"})
"""


@pytest.mark.parametrize("recorder", ["auto", "python", "direct"])
def test_the_events_of_runtimes_and_of_the_program_are_in_one_file(start: Start, recorder: str) -> None:
    collector = start("security", "local")
    environment = clean_environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        SANDSCOPE_RECORDER=recorder,
        SANDSCOPE_SUBPROCESS_CONTROLS="seccomp",
    )
    ended = run_program(PROGRAM, environment=environment)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "SANDSCOPE_SECURITY_USER does not allow 'password': it is left out.\n"
    found = records_in(collector.data / "security.jsonl")
    kinds = {attributes_of(record)[TYPE]: record["eventName"] for record in found}
    assert kinds == {
        "sandbox_violation": "sandbox.security",
        "sandbox_control_missing": "sandbox.control",
        "auth_failure": "security.event",
        "injection_attempt": "security.event",
    }
    assert len(found) == 4
    assert "canary-77" not in (collector.data / "security.jsonl").read_text()
    (failure,) = [record for record in found if attributes_of(record)[TYPE] == "auth_failure"]
    assert (failure["severityText"], failure["body"]["stringValue"]) == (
        "ERROR",
        "auth_failure: wrong password",
    )
    assert attributes_of(failure)["user.id"] == "42"
    assert failure["traceId"]
    events = {record["eventName"] for record in records_in(collector.data / "logs.jsonl")}
    assert events > {"sandbox.execution", "security.event"}


MODEL = """
import os, sys, torch

class Running:
    def __reduce__(self):
        return os.system, ("true",)

torch.save({"weights": torch.ones(2), "other": Running()}, sys.argv[1])
torch.load(sys.argv[1], weights_only=False)
"""


def test_a_model_that_runs_code_is_in_the_same_file(start: Start, tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        lacking("torch is not installed: `make torch`")
    collector = start("security")
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    ended = run_program(MODEL, str(tmp_path / "net.pt"), environment=environment)
    assert ended.returncode == 0, ended.stderr
    (record,) = records_in(collector.data / "security.jsonl")
    told = attributes_of(record)
    assert (record["eventName"], record["severityText"]) == ("sandbox.security", "ERROR")
    assert (told[TYPE], told["torch.load.risk_level"]) == ("suspicious_model_load", "high")
    assert (told["torch.model.file"], told["sandbox.runtime"]) == ("net.pt", "torch")
    assert record["traceId"]


def test_of_other_origins_the_name_of_the_event_is_enough(start: Start) -> None:
    collector = start("security")
    for name, event in (("refused", "sandbox.security"), ("ended", "sandbox.execution"), ("said", "")):
        assert send(collector.ports.otlp_http, body_of(name, event=event)) == 200
    (record,) = records_in(collector.data / "security.jsonl")
    assert record["body"]["stringValue"] == "refused"
    assert attributes_of(record) == {TYPE: "sandbox_violation"}


def test_what_was_acknowledged_is_in_the_file_if_the_collector_is_killed(start: Start) -> None:
    collector = start("security")
    acknowledged: list[str] = []
    enough = threading.Event()

    def send_some(thread: int) -> None:
        for number in range(100_000):
            names = [f"{thread}-{number}-{each}" for each in range(10)]
            try:
                if send(collector.ports.otlp_http, body_of(*names, **{TYPE: "auth_failure"})) != 200:
                    return
            except OSError:
                return
            acknowledged.extend(names)
            if len(acknowledged) > 2000:
                enough.set()

    threads = [threading.Thread(target=send_some, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(PATIENCE)
    assert collector.pid is not None
    os.kill(collector.pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    seal(collector.data)
    complete = collector.data / "complete.jsonl"  # a request that is being written has not been acknowledged
    text = (collector.data / "security.jsonl").read_text()
    complete.write_text(text[: text.rfind("\n") + 1])
    written = {record["body"]["stringValue"] for record in records_in(complete)}
    assert set(acknowledged) <= written


def test_sealing_and_verifying_go_on_while_files_are_rotated_and_compressed(
    start: Start, tmp_path: Path
) -> None:
    small = tmp_path / "small.yaml"
    small.write_text("exporters: {file/security: {rotation: {max_megabytes: 1}}}\n")
    collector = start("security", small)
    sent = [f"{number:08} {'x' * 20_000}" for number in range(200)]
    for number, name in enumerate(sent):
        assert send(collector.ports.otlp_http, body_of(name, **{TYPE: "auth_failure"})) == 200
        if number % 7 == 0:
            seal(collector.data)
            assert verify(collector.data).wrong == ""
    seal(collector.data)
    assert verify(collector.data).lines == 200
    rotated = sorted(collector.data.glob("security-*.jsonl"))
    assert len(rotated) >= 3
    found = records_in(*rotated, collector.data / "security.jsonl")
    assert [record["body"]["stringValue"] for record in found] == sent
    rotated[0].with_name(f"{rotated[0].name}.gz").write_bytes(gzip.compress(rotated[0].read_bytes()))
    rotated[0].unlink()
    assert verify(collector.data).lines == 200
    rotated[1].write_bytes(rotated[1].read_bytes().replace(b"auth_failure", b"auth_success", 1))
    assert f"has been changed: {rotated[1].name}, line 1" in verify(collector.data).wrong


def test_files_are_kept_for_a_year(start: Start, tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    small.write_text("exporters: {file/security: {rotation: {max_megabytes: 1}}}\n")
    folder = tmp_path / "data"
    folder.mkdir()
    kept, removed = (folder / _rotated(days) for days in (360, 370))
    for file in (kept, removed):
        file.write_text("{}\n")
    collector = start("security", small)
    for _ in range(60):
        send(collector.ports.otlp_http, body_of("x" * 20_000, **{TYPE: "auth_failure"}))
    assert wait_until(lambda: not removed.exists())
    assert kept.exists()


def _rotated(days: int) -> str:
    time = datetime.now(timezone.utc) - timedelta(days=days)
    return f"security-{time:%Y-%m-%dT%H-%M-%S}.000-size.jsonl"


@pytest.mark.usefixtures("default_signals")
def test_the_command_seals_what_its_collector_writes(tmp_path: Path) -> None:
    ports, data = collector_ports(), tmp_path / "data"
    command = [sys.executable, "-m", "sandscope", "collector", "run", "security", "--data", str(data)]
    environment = clean_environment(**ports.environment)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("ready")
        assert send(ports.otlp_http, body_of("first", **{TYPE: "auth_failure"})) == 200
        assert wait_until(lambda: complete_lines(data / "security.chain") != [])
        assert verify(data).lines == 1
        assert send(ports.otlp_http, body_of("last", **{TYPE: "auth_failure"})) == 200
        run.terminate()
        run.wait(PATIENCE)
    result = verify(data)
    assert (result.lines, result.unsealed, result.wrong) == (2, 0, "")
