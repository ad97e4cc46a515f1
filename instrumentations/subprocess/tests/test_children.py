"""The verdict on real children, one for each way to end."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from harness import lacking
from sandscope.instrumentation import MISSING_EVIDENCE, Scope, get_recorder
from sandscope_instrumentation_subprocess._registry import Registry
from sandscope_instrumentation_subprocess._signals import kill
from sandscope_instrumentation_subprocess._sites import UNKNOWN

Python = Callable[[str], list[str]]


def test_success(ended: Any) -> None:
    subprocess.run(["/bin/sh", "-c", "exit 0"], check=True)
    assert ended.verdict() == ("OK", "runtime", "normal_exit", None)
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
    assert ended.verdict() == ("RE", "runtime", "re_nonzero_exit", None)
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
    assert ended.verdict() == ("IE", "judge", "ie_supervisor_failure", None)
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
    assert ended.verdict() == ("IE", "judge", "ie_supervisor_failure", None)


@pytest.mark.parametrize("call", ["run", "communicate", "wait"])
def test_wall_time(ended: Any, call: str) -> None:
    if call == "run":
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(["sleep", "20"], timeout=0.1, check=False)
    else:
        with subprocess.Popen(["sleep", "20"], stdout=subprocess.PIPE) as process:
            with pytest.raises(subprocess.TimeoutExpired):
                getattr(process, call)(timeout=0.1)
            process.kill()
    assert ended.verdict() == ("TLE", "judge", "tle_wall_judge", "wall")
    assert ended.one()["sandbox.process.signal"] == "SIGKILL"


def test_a_timeout_that_the_child_survives_is_success(ended: Any) -> None:
    with subprocess.Popen(["sleep", "0.3"]) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
        process.wait()
    assert ended.verdict() == ("OK", "runtime", "normal_exit", None)


def test_cpu_time_at_the_soft_limit(ended: Any, python: Python) -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 3))\nwhile True: pass"
    subprocess.run(python(code), check=False)
    assert ended.verdict() == ("TLE", "kernel", "tle_cpu_kernel", "cpu")
    assert ended.one()["sandbox.process.signal"] == "SIGXCPU"


def test_cpu_time_at_the_hard_limit(ended: Any, python: Python) -> None:
    code = (
        "import resource, signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass"
    )
    subprocess.run(python(code), check=False)
    assert ended.verdict() == ("TLE", "kernel", "tle_cpu_kernel", "cpu")
    assert ended.one()["sandbox.process.signal"] == "SIGKILL"


EATER = "x = []\nwhile True: x.append(bytearray(1 << 20))"


def _address_space(size: int) -> Callable[[], None]:
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("larger", [0, 300 << 20], ids=["small parent", "parent larger than the limit"])
def test_memory(ended: Any, python: Python, larger: int) -> None:
    held = bytearray(larger)
    limited = _address_space(200 << 20)
    subprocess.run(python(EATER), preexec_fn=limited, stderr=subprocess.DEVNULL, check=False)
    assert ended.verdict() == ("MLE", "kernel", "mle_limit_breach", "memory")
    del held


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_failure_far_from_the_memory_limit_is_not_memory(ended: Any, python: Python) -> None:
    larger = bytearray(300 << 20)
    subprocess.run(python("raise SystemExit(1)"), preexec_fn=_address_space(200 << 20), check=False)
    assert ended.verdict() == ("RE", "runtime", "re_nonzero_exit", None)
    del larger


def test_output(ended: Any, python: Python, tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "open(sys.argv[1], 'wb').write(bytes(100_000))"
    )
    subprocess.run([*python(code), str(tmp_path / "out")], check=False)
    assert ended.verdict() == ("FSE", "kernel", "fse_limit_exceeded", "output")


def test_a_fault_is_the_childs_own(ended: Any, python: Python) -> None:
    subprocess.run(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), check=False)
    assert ended.verdict() == ("SIG", "runtime", "re_fatal_signal", None)


def test_a_signal_from_elsewhere_is_unattributed(ended: Any) -> None:
    with subprocess.Popen(["sleep", "20"]) as process:
        subprocess.run(["/bin/sh", "-c", f"kill -KILL {process.pid}"], check=True)
    sleep = next(a for a in ended.all(2) if a["process.executable.name"] == "sleep")
    assert sleep["sandbox.verdict.cause"] == "sig_unattributed"


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
def test_a_signal_from_the_program_is_its_own(ended: Any, stop: Callable[[Any], None]) -> None:
    with subprocess.Popen(["sleep", "20"], start_new_session=True) as process:
        stop(process)
    assert ended.verdict() == ("SIG", "judge", "sig_sent_by_parent", None)


def test_a_signal_that_could_not_be_sent_is_no_evidence(ended: Any) -> None:
    def not_permitted(_pid: int, _signal: int) -> None:
        raise error

    error = PermissionError(1, "Operation not permitted")
    recorder = get_recorder(Scope("scope", "1"), **ended.telemetry.providers)
    registry = Registry()
    execution = recorder.begin(UNKNOWN)
    assert execution is not None
    registry.add(1, execution)
    with pytest.raises(PermissionError) as caught:
        kill(registry)(not_permitted)(1, signal.SIGTERM)
    assert caught.value is error
    assert [child.sent for child in registry.all()] == [[]]
    registry.close()
    assert ended.verdict() == MISSING_EVIDENCE


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


def test_a_refused_system_call(ended: Any, python: Python) -> None:
    if platform.machine() not in GETPPID:
        lacking(f"the system calls of {platform.machine()} are not known here: add the number of getppid")
    subprocess.run([*python(SECCOMP), str(GETPPID[platform.machine()])], check=False)
    assert ended.verdict() == ("SV", "kernel", "sv_seccomp", None)
    assert ended.one()["sandbox.process.signal"] == "SIGSYS"


def test_sigsys_without_seccomp_is_no_violation(ended: Any, python: Python) -> None:
    subprocess.run(python("import os, signal; os.kill(os.getpid(), signal.SIGSYS)"), check=False)
    assert ended.verdict() == ("SIG", "kernel", "sig_unattributed", None)


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
atexit.register(lambda: print([s.attributes["sandbox.verdict.cause"] for s in exporter.get_finished_spans()]))
SubprocessInstrumentor().instrument(tracer_provider=provider)
running = subprocess.Popen(["sleep", "1"], stdout=subprocess.DEVNULL)
exited = subprocess.Popen(["false"])
import time; time.sleep(0.1)
running.returncode = exited.returncode = 0  # no ResourceWarning
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(python(code), env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert result.stdout.strip() == "['ie_still_running', 're_nonzero_exit']"


def test_the_duration_ends_with_the_child_however_late_it_is_waited_for(ended: Any) -> None:
    process = subprocess.Popen(["sleep", "0.1"])
    time.sleep(1)
    process.wait()
    ended.one()
    (span,) = ended.telemetry.spans()
    assert 0.1e9 <= span.end_time - span.start_time < 0.9e9
