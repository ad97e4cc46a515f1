"""The verdict on real children, one for each way to end."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from harness import lacking

Python = Callable[[str], list[str]]
ONE_RECORDER = pytest.mark.parametrize("recorder_kind", ["deferred"])
"""For slow tests: the evidence does not depend on the recorder."""


def test_success(ended: Any) -> None:
    subprocess.run(["/bin/sh", "-c", "exit 0"], check=True)
    assert ended.verdict() == ("OK", "guest", "normal_exit", None)
    (span,) = ended.telemetry.spans()
    assert (span.name, span.kind, span.status.status_code) == ("sh", SpanKind.CLIENT, StatusCode.UNSET)
    attributes = ended.one()
    assert attributes["process.executable.name"] == "sh"
    assert attributes["process.exit.code"] == 0
    assert attributes["sandbox.process.shell"] is False
    (log,) = ended.telemetry.logs()
    assert log.log_record.trace_id == span.context.trace_id
    assert {**attributes}.items() <= {**log.log_record.attributes}.items()


def test_nonzero_exit(ended: Any) -> None:
    subprocess.run("exit 3", shell=True, check=False)  # noqa: S602 -- a shell is what is tested
    assert ended.verdict() == ("RE", "guest", "re_nonzero_exit", None)
    assert ended.one()["process.exit.code"] == 3
    assert ended.one()["sandbox.process.shell"] is True


@pytest.mark.parametrize(
    ("options", "error_type"),
    [
        ({"args": ["/no/such/secret-program"]}, FileNotFoundError),
        ({"args": ["/etc"]}, PermissionError),
        ({"args": ["true"], "cwd": "/no/such/secret-folder"}, FileNotFoundError),
        ({"args": ["secret\0program"]}, ValueError),
    ],
    ids=["missing", "not executable", "no such folder", "null byte"],
)
def test_failed_spawn(ended: Any, options: dict[str, Any], error_type: type[Exception]) -> None:
    with pytest.raises(error_type):
        subprocess.run(**options, check=False)
    assert ended.verdict() == ("IE", "host", "ie_supervisor_failure", None)
    assert ended.one()["error.type"] == error_type.__name__
    (log,) = ended.telemetry.logs()
    assert "secret" not in log.log_record.attributes["exception.message"]


def test_no_descriptors_left_for_pipes_is_a_failed_spawn(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pipe() -> None:
        raise error

    error = OSError(24, "Too many open files")
    monkeypatch.setattr(os, "pipe", no_pipe)
    with pytest.raises(OSError) as caught:  # noqa: PT011 -- identity is what matters
        subprocess.Popen(["true"], stdout=subprocess.PIPE)
    assert caught.value is error
    assert ended.verdict() == ("IE", "host", "ie_supervisor_failure", None)


@pytest.mark.parametrize("call", ["run", "communicate", "wait"])
def test_wall_time(ended: Any, call: str) -> None:
    if call == "run":
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(["sleep", "600"], timeout=0.6, check=False)
    else:
        with subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE) as process:
            with pytest.raises(subprocess.TimeoutExpired):
                getattr(process, call)(timeout=0.6)
            process.kill()
    assert ended.verdict() == ("TLE", "host", "tle_wall_judge", "wall")
    assert ended.one()["sandbox.process.signal"] == "SIGKILL"


def test_a_timeout_that_the_child_survives_is_success(ended: Any, gate: Any) -> None:
    with subprocess.Popen(["cat"], stdin=gate.input) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
        gate.open()
        process.wait()
    assert ended.verdict() == ("OK", "guest", "normal_exit", None)


@ONE_RECORDER
def test_cpu_time_at_the_soft_and_at_the_hard_limit(ended: Any, python: Python) -> None:
    soft = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 3))\nwhile True: pass"
    hard = (
        "import resource, signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass"
    )
    # At the same time: a second is the shortest limit that there is.
    with subprocess.Popen(python(soft)) as first, subprocess.Popen(python(hard)) as second:
        pass
    children = {attributes["process.pid"]: attributes for attributes in ended.all(2)}
    for process, signal_name in ((first, "SIGXCPU"), (second, "SIGKILL")):
        child = children[process.pid]
        assert child["sandbox.process.signal"] == signal_name
        assert ended.verdict_in(child) == ("TLE", "kernel", "tle_cpu_kernel", "cpu")


ALLOCATE = "x = []\nwhile True: x.append(bytearray(1 << 20))"


def _address_space(size: int) -> Callable[[], None]:
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@ONE_RECORDER
@pytest.mark.parametrize("larger", [0, 200 << 20], ids=["small parent", "parent larger than the limit"])
def test_memory(ended: Any, python: Python, larger: int) -> None:
    held = bytearray(larger)
    limited = _address_space(100 << 20)
    subprocess.run(python(ALLOCATE), preexec_fn=limited, stderr=subprocess.DEVNULL, check=False)
    assert ended.verdict() == ("MLE", "kernel", "mle_limit_breach", "memory")
    assert ended.one()["sandbox.verdict.basis"] == "inferred"
    del held


HANDLE = """
import time
try:
    x = []
    while True: x.append(bytearray(1 << 20))
except MemoryError:
    x.clear()
    time.sleep(0.5)
    raise SystemExit(3)
"""


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@ONE_RECORDER
def test_a_code_that_the_child_chose_near_its_memory_limit_is_not_memory(ended: Any, python: Python) -> None:
    subprocess.run(python(HANDLE), preexec_fn=_address_space(100 << 20), check=False)
    assert ended.verdict() == ("RE", "guest", "re_nonzero_exit", None)
    assert "sandbox.verdict.basis" not in ended.one()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@ONE_RECORDER
def test_a_failure_far_from_the_memory_limit_is_not_memory(ended: Any, python: Python) -> None:
    larger = bytearray(200 << 20)
    subprocess.run(python("raise SystemExit(1)"), preexec_fn=_address_space(100 << 20), check=False)
    assert ended.verdict() == ("RE", "guest", "re_nonzero_exit", None)
    del larger


@ONE_RECORDER
def test_output(ended: Any, python: Python, tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "open(sys.argv[1], 'wb').write(bytes(100_000))"
    )
    subprocess.run([*python(code), str(tmp_path / "out")], check=False)
    assert ended.verdict() == ("FSE", "kernel", "fse_limit_exceeded", "output")


@pytest.mark.parametrize("name", ["XCPU", "XFSZ"])
def test_the_signal_of_a_limit_without_such_a_limit(ended: Any, name: str) -> None:
    subprocess.run(["/bin/sh", "-c", f"kill -{name} $$"], check=False)
    assert ended.verdict() == ("SIG", "unknown", "sig_unattributed", None)
    assert ended.one()["sandbox.process.signal"] == f"SIG{name}"


@ONE_RECORDER
@pytest.mark.parametrize(
    ("script", "code", "expected"),
    [
        ("sh -c 'kill -SEGV $$'; exit $?", 139, ("SIG", "guest", "re_fatal_signal", None)),
        ("sh -c 'kill -SYS $$'; exit $?", 159, ("SV", "kernel", "sv_seccomp", None)),
        (
            "(ulimit -St 1; while :; do :; done); exit $?",
            152,
            ("TLE", "kernel", "tle_cpu_kernel", "cpu"),
        ),
        (
            "(ulimit -f 1; exec head -c 100000 /dev/zero > {folder}/file); exit $?",
            153,
            ("FSE", "kernel", "fse_limit_exceeded", "output"),
        ),
        ("timeout 0.1 sleep 600", 124, ("RE", "guest", "re_nonzero_exit", None)),
        ("exit 77", 77, ("RE", "guest", "re_nonzero_exit", None)),
    ],
)
def test_a_shell_tells_the_signal(ended: Any, tmp_path: Path, script: str, code: int, expected: Any) -> None:
    command = ["/bin/sh", "-c", f"ulimit -c 0; {script.format(folder=tmp_path)}; exit $?"]
    subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    attributes = ended.one()
    assert attributes["process.exit.code"] == code
    assert ended.verdict() == expected
    assert attributes.get("sandbox.verdict.basis") == (None if expected[0] == "RE" else "told")


@ONE_RECORDER
@pytest.mark.parametrize(
    ("options", "basis"),
    [([], "told"), (["--foreground", "-s", "KILL"], "told"), (["-s", "KILL"], "inferred")],
    ids=["exit 124", "exit 137", "killed"],
)
def test_timeout_tells_that_time_was_over(ended: Any, options: list[str], basis: str) -> None:
    subprocess.run(["timeout", *options, "0.1", "sleep", "600"], check=False)
    assert ended.verdict() == ("TLE", "host", "tle_wall_judge", "wall")
    assert ended.one()["sandbox.verdict.basis"] == basis


@ONE_RECORDER
def test_timeout_ends_by_the_signal_that_ended_its_command(ended: Any) -> None:
    subprocess.run(["timeout", "60", "/bin/sh", "-c", "kill -SEGV $$"], check=False)
    assert ended.verdict() == ("SIG", "guest", "re_fatal_signal", None)
    assert "sandbox.verdict.basis" not in ended.one()


def test_a_fault_is_attributed_to_the_guest(ended: Any, python: Python) -> None:
    subprocess.run(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), check=False)
    assert ended.verdict() == ("SIG", "guest", "re_fatal_signal", None)


def test_the_sender_of_another_signal_is_unknown(ended: Any) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        subprocess.run(["/bin/sh", "-c", f"kill -KILL {process.pid}"], check=True)
    sleep = next(a for a in ended.all(2) if a["process.executable.name"] == "sleep")
    assert ended.verdict_in(sleep) == ("SIG", "unknown", "sig_unattributed", None)


@pytest.mark.parametrize(
    "stop",
    [
        subprocess.Popen.kill,
        subprocess.Popen.terminate,
        lambda process: os.kill(process.pid, signal.SIGINT),
        lambda process: os.kill(-process.pid, signal.SIGHUP),
        lambda process: os.killpg(process.pid, signal.SIGTERM),
    ],
    ids=["kill", "terminate", "os.kill", "os.kill of a group", "os.killpg"],
)
def test_a_signal_from_the_program_is_attributed_to_the_host(ended: Any, stop: Callable[[Any], None]) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        stop(process)
    assert ended.verdict() == ("SIG", "host", "sig_sent_by_parent", None)


@pytest.mark.parametrize("name", ["kill", "killpg"])
def test_a_signal_that_could_not_be_sent_is_no_evidence(ended: Any, gate: Any, name: str) -> None:
    process = subprocess.Popen(["cat"], stdin=gate.input, start_new_session=True)
    send = getattr(os, name)
    with pytest.raises(OSError, match="Invalid argument"):
        send(process.pid, 9999)
    (child,) = ended.registry.children()
    assert child.sent_signals == {}
    gate.open()
    assert process.wait() == 0
    assert ended.verdict()[0] == "OK"


GETPPID = {"x86_64": 110, "aarch64": 173}

SECCOMP = """
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0), (0x15, 0, 1, int(sys.argv[1])), (6, 0, 0, 0x80000000), (6, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
header = struct.pack("HxxxxxxP", len(code), ctypes.addressof(program))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
libc.prctl(22, 2, ctypes.create_string_buffer(header))
os.getppid()
"""


@ONE_RECORDER
def test_a_refused_system_call(ended: Any, python: Python) -> None:
    if platform.machine() not in GETPPID:
        lacking(f"the system calls of {platform.machine()} are not known here: add the number of getppid")
    subprocess.run([*python(SECCOMP), str(GETPPID[platform.machine()])], check=False)
    assert ended.verdict() == ("SV", "kernel", "sv_seccomp", None)
    assert ended.one()["sandbox.process.signal"] == "SIGSYS"


@ONE_RECORDER
def test_sigsys_without_seccomp_is_no_violation(ended: Any, python: Python) -> None:
    subprocess.run(python("import os, signal; os.kill(os.getpid(), signal.SIGSYS)"), check=False)
    assert ended.verdict() == ("SIG", "unknown", "sig_unattributed", None)


def test_a_child_that_outlives_the_program(python: Python) -> None:
    code = """
import atexit, subprocess
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
exporter = InMemorySpanExporter()
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(exporter))
def report():
    ended = [s.attributes for s in exporter.get_finished_spans()]
    print(sorted((a["sandbox.verdict.cause"], a["sandbox.verdict.actor"]) for a in ended))
atexit.register(report)
SubprocessInstrumentor().instrument(tracer_provider=provider)
running = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
exited = subprocess.Popen(["false"])
import os; os.waitid(os.P_PID, exited.pid, os.WEXITED | os.WNOWAIT)
running.returncode = exited.returncode = 0  # no ResourceWarning
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(python(code), env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert result.stdout.strip() == "[('ie_still_running', 'unknown'), ('re_nonzero_exit', 'guest')]"
