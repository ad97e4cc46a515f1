"""``sandscope exec``: a command behaves and ends as it does alone, is recorded, and keeps its limits."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness import (
    BIN,
    PATIENCE,
    SANDSCOPE_RUN,
    OtlpSink,
    clean_environment,
    collector_ports,
    requires_otelcol,
    wait_until,
)
from sandscope._child import _children

pytestmark = pytest.mark.usefixtures("default_signals")

EXEC = (str(BIN / "sandscope"), "exec")
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PLAIN = """
import os, sys
state = {name: value for name, value in os.environ.items() if name != "TRACEPARENT"}
signals = [line for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]
descriptors = sorted(os.listdir("/proc/self/fd"))
print(state, signals, descriptors, os.getpgrp() == os.getpgid(os.getppid()), os.getcwd(), sys.argv)
"""


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    """Return a receiver to which `_exec` sends."""
    with OtlpSink() as sink:
        yield sink


def _exec(sink: OtlpSink, *words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EXEC, *words],
        input=stdin,
        env=_environment(sink, **variables),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


def _environment(sink: OtlpSink, **variables: str) -> dict[str, str]:
    return clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **variables)


def _verdict(span: object) -> tuple[str, ...]:
    attributes: Mapping[str, str] = {a.key: a.value.string_value for a in span.attributes}  # type: ignore[attr-defined]
    return tuple(attributes[f"sandbox.verdict.{name}"] for name in ("status", "actor", "cause"))


def test_a_command_is_recorded_and_keeps_its_streams_and_exit_code(sink: OtlpSink) -> None:
    run = _exec(sink, "--", "sh", "-c", "cat; echo $1 >&2; exit 3", "sh", "canary", stdin="from stdin")
    assert (run.returncode, run.stdout) == (3, "from stdin")
    own, line = run.stderr.splitlines()
    assert own == "canary"
    span = sink.span("sh")
    assert _verdict(span) == ("RE", "guest", "re_nonzero_exit")
    assert re.fullmatch(
        r"sandscope: runtime error \(RE\), ended by itself: re_nonzero_exit; exit code 3; [\d.]+ s; "
        rf"peak memory (at most )?\d+ MiB; trace {span.trace_id.hex()}",
        line,
    )
    assert sink.total("sandbox.executions") == 1
    assert [record.trace_id for record in sink.logs] == [span.trace_id]
    assert "canary" not in str([sink.spans, sink.metrics, sink.logs])


def test_the_trace_context_is_read_and_passed_on(sink: OtlpSink) -> None:
    traceparent = f"00-{TRACE_ID}-{SPAN_ID}-01"
    run = _exec(sink, "--", "sh", "-c", "echo $TRACEPARENT", TRACEPARENT=traceparent)
    span = sink.span("sh")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert run.stdout.split("-")[1:3] == [TRACE_ID, span.span_id.hex()]


def test_nothing_else_of_the_command_changes(sink: OtlpSink) -> None:
    command = [sys.executable, "-c", PLAIN, "an argument"]
    plain = subprocess.run(command, env=_environment(sink), capture_output=True, text=True, check=True)
    assert _exec(sink, "--", *command).stdout == plain.stdout


def test_descriptors_and_the_missing_locale_are_the_commands(sink: OtlpSink) -> None:
    """GNU make passes its job server on by descriptors. Python sets LC_CTYPE where no locale is set."""
    environment = {
        name: value for name, value in _environment(sink).items() if not name.startswith(("LC_", "LANG"))
    }
    readable, writable = os.pipe()
    os.write(writable, b"token")
    command = [*EXEC, "--", "sh", "-c", f"env | grep LC_; exec head -c 5 /dev/fd/{readable}"]
    run = subprocess.run(
        command,
        env=environment,
        pass_fds=[readable],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    os.close(readable)
    os.close(writable)
    assert run.stdout == b"token"


def test_a_limit_of_processes_is_refused_where_it_has_no_effect(sink: OtlpSink) -> None:
    program = "import resource; print(resource.getrlimit(resource.RLIMIT_NPROC)[0])"
    run = _exec(sink, "--processes", "1000", "--", sys.executable, "-c", program)
    if run.returncode:
        assert (os.geteuid(), run.returncode) == (0, 2)
        assert "Cannot limit --processes: the kernel does not apply this limit to this user" in run.stderr
    else:
        assert run.stdout == "1000\n"


def test_exec_itself_is_not_recorded_in_an_instrumented_program(sink: OtlpSink) -> None:
    assert _exec(sink, "--", "true", PYTHONPATH=_children.FOLDER).returncode == 0
    assert sink.names() == ["true"]


@pytest.mark.parametrize(
    ("command", "code", "verdict"),
    [
        ("kill -SEGV $$", 139, ("SIG", "guest", "re_fatal_signal")),
        ("kill -KILL $$", 137, ("SIG", "unknown", "sig_unattributed")),
    ],
)
def test_the_exit_code_of_a_signal_is_that_of_a_shell(
    sink: OtlpSink, command: str, code: int, verdict: tuple[str, ...]
) -> None:
    assert _exec(sink, "--", "sh", "-c", command).returncode == code
    assert _verdict(sink.span("sh")) == verdict


@pytest.mark.parametrize(
    ("limit", "command", "ended"),
    [
        ("--cpu=1", "while :; do :; done", (152, "TLE", "kernel", "tle_cpu_kernel")),
        ("--output=4K", "exec yes > big", (153, "FSE", "kernel", "fse_limit_exceeded")),
        ("--wall=0.3", "exec sleep 300", (143, "TLE", "host", "tle_wall_judge")),
        ("--wall=0.3", "trap '' TERM; sleep 300", (137, "TLE", "host", "tle_wall_judge")),
    ],
    ids=["cpu", "output", "wall", "wall, SIGTERM ignored"],
)
def test_a_limit_ends_the_command(
    sink: OtlpSink, tmp_path: Path, limit: str, command: str, ended: tuple[int, str, str, str]
) -> None:
    run = _exec(sink, limit, "--", "sh", "-c", f"cd {tmp_path}; {command}")
    assert (run.returncode, *_verdict(sink.span("sh"))) == ended


def test_the_limits_are_those_of_the_kernel(sink: OtlpSink) -> None:
    program = (
        "import resource as r; print([r.getrlimit(n) for n in (r.RLIMIT_CPU, r.RLIMIT_AS, r.RLIMIT_FSIZE)])"
    )
    flags = ["--cpu=9", "--memory", "1.5GiB", "--output", "10MB"]
    assert resource.getrlimit(resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY
    run = _exec(sink, *flags, "--", sys.executable, "-c", program)
    assert run.stdout == f"{[(9, 10), (3 << 29, 3 << 29), (10 << 20, 10 << 20)]}\n"


def test_the_limit_of_time_ends_all_processes_of_the_command(sink: OtlpSink, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # The grandchild ignores SIGTERM, and holds the pipe to this test open.
    command = (
        f"sh -c 'trap \"\" TERM; echo $$ >> {pids}; while :; do sleep 1; done' & echo $$ >> {pids}; wait"
    )
    run = _exec(sink, "--wall", "0.5", "--", "sh", "-c", command)
    assert run.returncode == 143
    for pid in pids.read_text().split():
        assert wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_memory_of_a_larger_caller_is_not_the_commands(sink: OtlpSink, tmp_path: Path) -> None:
    file = tmp_path / "verdict.json"
    caller = (
        "import subprocess, sys; held = b'x' * (300 << 20); subprocess.run(sys.argv[1:], close_fds=False)"
    )
    command = [sys.executable, "-c", "held = b'x' * (150 << 20)"]
    words = [sys.executable, "-c", caller, *EXEC, "--json", str(file), "--", *command]
    subprocess.run(words, env=_environment(sink), timeout=2 * PATIENCE, check=True)
    assert 150 << 20 < json.loads(file.read_text())["peak_memory_bytes"] < 250 << 20


def test_the_verdict_as_json(sink: OtlpSink, tmp_path: Path) -> None:
    file = tmp_path / "verdict.json"
    program = "held = b'x' * (150 << 20); raise SystemExit(5)"
    run = _exec(sink, "--json", str(file), "--wall", "60", "--", sys.executable, "-c", program)
    assert run.stderr.startswith("sandscope: runtime error (RE)")
    told = json.loads(file.read_text())
    assert told.pop("duration_seconds") > 0
    assert told.pop("user_cpu_seconds") + told.pop("system_cpu_seconds") > 0
    assert told.pop("peak_memory_bytes") == told.pop("peak_memory_at_most_bytes") > 150 << 20
    assert told == {
        "program": Path(sys.executable).name,
        "status": "RE",
        "actor": "guest",
        "cause": "re_nonzero_exit",
        "limit": None,
        "basis": "observed",
        "exit_code": 5,
        "signal": None,
        "limits": {"wall": 60.0},
        "trace_id": sink.spans[0].trace_id.hex(),
    }


def test_json_on_stderr_replaces_the_line(sink: OtlpSink) -> None:
    run = _exec(sink, "--json", "-", "--", "true")
    told = json.loads(run.stderr)
    assert (told["status"], told["peak_memory_bytes"], told["exit_code"]) == ("OK", None, 0)
    assert told["peak_memory_at_most_bytes"] > 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "no command is given"),
        (["--"], 2, "no command is given"),
        (["--memory", "10XB", "--", "true"], 2, "Cannot read --memory '10XB': it is not a number of bytes"),
        (["--memory", "-1", "--", "true"], 2, "--memory"),
        (["--output", "0", "--", "true"], 2, "Cannot read --output '0'"),
        (["--cpu", "0.5", "--", "true"], 2, "Cannot read --cpu '0.5': it is not a whole number of seconds"),
        (["--cpu=-1", "--", "true"], 2, "Cannot read --cpu '-1'"),
        (["--wall", "nan", "--", "true"], 2, "Cannot read --wall 'nan': it is not a number of seconds"),
        (["--processes", "many", "--", "true"], 2, "Cannot read --processes 'many'"),
        (
            ["--json", "/no/such/folder/file", "--", "true"],
            2,
            "Cannot write to --json '/no/such/folder/file'",
        ),
        (["--", "no-such-program"], 127, "there is no such program on PATH"),
        (["--", "./no-such-file"], 127, "there is no such file"),
        (["--", "/"], 126, "it is a folder"),
        (["--", "/etc/passwd"], 126, "it is not executable"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_run_is_said_in_one_line(
    sink: OtlpSink, words: list[str], code: int, says: str
) -> None:
    run = _exec(sink, *words)
    assert (run.returncode, run.stdout) == (code, "")
    assert says in run.stderr
    assert run.stderr.splitlines()[-1].startswith("sandscope")
    assert sink.spans == []


def test_a_file_that_is_no_program(sink: OtlpSink, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no interpreter\n")
    (tmp_path / "text").chmod(0o755)
    run = _exec(sink, "--", str(tmp_path / "text"))
    assert run.returncode == 126
    assert run.stderr.count("\n") == 1
    assert _verdict(sink.span("text")) == ("IE", "host", "ie_supervisor_failure")


def test_quiet(sink: OtlpSink) -> None:
    assert _exec(sink, "--quiet", "--", "true").stderr == ""
    assert "exit code 1" in _exec(sink, "--quiet", "--", "false").stderr


def test_with_the_sdk_disabled_limits_and_verdict_stay(sink: OtlpSink) -> None:
    run = _exec(sink, "--wall", "0.2", "--", "sleep", "300", OTEL_SDK_DISABLED="true")
    assert run.returncode == 143
    assert run.stderr.startswith("sandscope: time limit exceeded (TLE), ended by its host: tle_wall_judge")
    assert sink.requests == 0


def test_a_chosen_collector_gets_all_signals(sink: OtlpSink) -> None:
    elsewhere = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}
    command = [*EXEC, "--collector", sink.endpoint, "--", "true"]
    subprocess.run(command, env=clean_environment(**elsewhere), capture_output=True, check=True)
    assert (sink.names(), len(sink.logs)) == (["true"], 1)


def test_its_own_collector_writes_files(tmp_path: Path) -> None:
    requires_otelcol()
    data = tmp_path / "data"
    environment = clean_environment(SANDSCOPE_DATA=str(data), **collector_ports().environment)
    run = subprocess.run([*EXEC, "--", "true"], env=environment, capture_output=True, text=True, check=True)
    verdict, place = run.stderr.splitlines()
    assert verdict.startswith("sandscope: success (OK), ended by itself: normal_exit; exit code 0; ")
    assert place == f"sandscope: the telemetry is in {data}; to look at it: sandscope report --data {data}"
    (line,) = (data / "traces.jsonl").read_text().splitlines()
    assert verdict.rpartition(" ")[2] in line

    command = [*EXEC, "--json", "-", "--", "false"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert json.loads(run.stderr)["status"] == "RE", "nothing else is on stderr"


@pytest.mark.parametrize("wall", [[], ["--wall", "60"]], ids=["", "wall"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_reaches_the_command(sink: OtlpSink, tmp_path: Path, number: int, wall: list[str]) -> None:
    ready = tmp_path / "ready"
    command = f"trap 'exit 42' {int(number)}; touch {ready}; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        [*EXEC, *wall, "--", "sh", "-c", command], env=_environment(sink), stderr=subprocess.DEVNULL
    )
    try:
        assert wait_until(ready.exists)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 42
    finally:
        process.kill()
        process.wait()


def test_an_ignored_signal_stays_ignored(sink: OtlpSink) -> None:
    command = ["nohup", *EXEC, "--", "sh", "-c", "kill -HUP $PPID; kill -HUP $$; exit 7"]
    run = subprocess.run(command, env=_environment(sink), capture_output=True, check=False)
    assert run.returncode == 7


def test_run_trace_puts_a_whole_program_into_one_trace(sink: OtlpSink) -> None:
    program = "import subprocess\nfor _ in range(3): subprocess.run(['true'])\nraise SystemExit(4)"
    command = [*SANDSCOPE_RUN[:2], "--trace", "--", sys.executable, "-c", program]
    traceparent = f"00-{TRACE_ID}-{SPAN_ID}-01"
    environment = _environment(sink, TRACEPARENT=traceparent)
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 4
    assert "sandscope: runtime error (RE), ended by itself: re_nonzero_exit; exit code 4; " in run.stderr
    whole = sink.span(Path(sys.executable).name)
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert sink.names().count("true") == 3
    assert {span.parent_span_id for span in sink.spans if span.name == "true"} == {whole.span_id}


def test_run_trace_ends_by_the_programs_signal(sink: OtlpSink) -> None:
    command = [*SANDSCOPE_RUN[:2], "--trace", "--", "sh", "-c", "kill -TERM $$"]
    run = subprocess.run(command, env=_environment(sink), capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGTERM
    assert "fatal signal (SIG), it is not known by whom: sig_unattributed; SIGTERM" in run.stderr
