"""The verdict on real children in C, whose limits are their own, or those of `prlimit` and `ulimit`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from harness import lacking
from harness._toolchains import compiled

MIB = 1 << 20
LARGE = 512 * MIB

SOURCE = Path(__file__).with_name("endings.c")
pytestmark = pytest.mark.parametrize("recorder_kind", ["deferred"])

RE = ("RE", "guest", "re_nonzero_exit", None)
FAULT = ("SIG", "guest", "re_fatal_signal", None)
CPU = ("TLE", "kernel", "tle_cpu_kernel", "cpu")
MEMORY = ("MLE", "kernel", "mle_limit_breach", "memory")


@pytest.fixture(scope="session")
def program() -> str:
    """Return the path of the compiled program."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        lacking("needs a C compiler: apt install gcc")
    return str(compiled("endings", [SOURCE], lambda target: [compiler, "-O1", "-o", target, SOURCE]))


def _run(program: str, *arguments: str) -> int:
    return subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, check=False).returncode


@pytest.mark.parametrize(
    ("ending", "expected"),
    [("exit", RE), *((ending, FAULT) for ending in ("segv", "abort", "fpe", "ill", "pipe"))],
)
def test_ends_by_itself(ended: Any, program: str, ending: str, expected: Any) -> None:
    _run(program, ending)
    assert ended.verdict() == expected
    assert "sandbox.verdict.basis" not in ended.one()


@pytest.mark.parametrize("ending", ["cpu", "cpu, hard"])
def test_its_own_limit_of_cpu_time(ended: Any, program: str, ending: str) -> None:
    _run(program, ending)
    assert ended.verdict() == CPU
    attributes = ended.one()
    assert 0.5 < attributes["sandbox.process.cpu.user"] + attributes["sandbox.process.cpu.system"] < 3
    assert attributes["sandbox.process.limit.cpu_hard"] == (5 if ending == "cpu" else 1)


@pytest.mark.parametrize(
    "wrapper", [["prlimit", "--cpu=1:5"], ["/bin/sh", "-c", 'ulimit -St 1; exec "$0" "$@"']]
)
def test_a_limit_of_cpu_time_that_it_gets(ended: Any, program: str, wrapper: list[str]) -> None:
    _needs(wrapper[0])
    _run(*wrapper, program, "spin")
    assert ended.verdict() == CPU
    assert "sandbox.verdict.basis" not in ended.one()


@pytest.mark.parametrize("ending", ["memory, abort", "memory, exit"])
def test_its_own_limit_of_memory(ended: Any, program: str, ending: str) -> None:
    _run(program, ending, str(LARGE))
    assert ended.verdict() == MEMORY
    attributes = ended.one()
    assert attributes["sandbox.verdict.basis"] == "inferred"
    assert attributes["sandbox.process.limit.memory"] == LARGE
    assert 0.9 * LARGE < attributes["sandbox.process.memory.peak"] <= LARGE


@pytest.mark.parametrize(
    "wrapper",
    [["prlimit", f"--as={LARGE}"], ["/bin/sh", "-c", f'ulimit -v {LARGE // 1024}; exec "$0" "$@"']],
)
def test_a_limit_of_memory_that_it_gets(ended: Any, program: str, wrapper: list[str]) -> None:
    _needs(wrapper[0])
    _run(*wrapper, program, "memory of others")
    assert ended.verdict() == MEMORY


def test_a_limit_that_prlimit_sets_while_it_runs(ended: Any, program: str, gate: Any, python: Any) -> None:
    import resource

    code = f"import sys, os; sys.stdin.read(); os.execv({program!r}, ['endings', 'memory of others'])"
    with subprocess.Popen(python(code), stdin=gate.input) as process:
        resource.prlimit(process.pid, resource.RLIMIT_AS, (LARGE, LARGE))
        gate.open()
    assert ended.verdict() == MEMORY


def test_its_own_limit_of_data(ended: Any, program: str) -> None:
    assert _run(program, "data", str(32 * MIB)) == 1
    assert ended.verdict() == MEMORY
    attributes = ended.one()
    assert attributes["sandbox.process.limit.data"] == 32 * MIB
    assert attributes["sandbox.process.memory.source"] == "sampled"


def test_its_own_limit_of_output(ended: Any, program: str, tmp_path: Path) -> None:
    assert _run(program, "output", "4096", str(tmp_path / "out")) == -signal.SIGXFSZ
    assert ended.verdict() == ("FSE", "kernel", "fse_limit_exceeded", "output")
    attributes = ended.one()
    assert attributes["sandbox.process.limit.output"] == 4096
    assert attributes["sandbox.process.output.written"] == 4096


@pytest.mark.parametrize(("ending", "limit"), [("processes", 1), ("descriptors", 16)])
def test_limits_that_leave_no_trace(ended: Any, program: str, ending: str, limit: int) -> None:
    if ending == "processes" and os.geteuid() != 0:
        pytest.skip("needs root, to become a user without other processes")
    if _run(program, ending) != 1:
        pytest.skip("the limit does not hold here")
    assert ended.verdict() == RE
    assert ended.one()[f"sandbox.process.limit.{ending}"] == limit


def test_a_filter_of_system_calls(ended: Any, program: str) -> None:
    """In strict mode, the kernel kills by SIGKILL; what it notes in the zombie is the same."""
    assert _run(program, "seccomp") == -signal.SIGKILL
    assert ended.verdict() == ("SV", "kernel", "sv_seccomp", None)


def test_the_program_kills_a_child_that_has_used_up_its_cpu_time(ended: Any, program: str) -> None:
    with subprocess.Popen([program, "cpu, ignored"]) as process:
        deadline = time.monotonic() + 120
        while _cpu_time(process.pid) < 1.3 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    assert ended.verdict() == ("TLE", "host", "tle_cpu_judge", "cpu")
    assert "sandbox.verdict.basis" not in ended.one()


def test_what_it_has_used(ended: Any, program: str, tmp_path: Path) -> None:
    assert _run(program, "write", "", str(tmp_path / "out")) == 0
    attributes = ended.one()
    assert ended.verdict()[0] == "OK"
    assert 0 <= attributes["sandbox.process.cpu.user"] < 5
    assert attributes["sandbox.process.disk.written"] % 512 == 0
    assert attributes["sandbox.process.context_switches.voluntary"] >= 0
    assert "sandbox.process.output.written" not in attributes  # a child that succeeds is not looked at
    for name in ("cpu.user", "cpu.system", "disk.written", "context_switches.voluntary"):
        ((point, count),) = ended.telemetry.points(f"sandbox.process.{name}")
        assert (point["sandbox.verdict.status"], count) == ("OK", 1)


def test_the_program_s_own_memory_is_not_taken_for_that_of_a_child(ended: Any, program: str) -> None:
    held = bytearray(b"x") * (64 * MIB)
    _run(program, "exit")
    assert ended.one().get("sandbox.process.memory.peak", 0) < 32 * MIB
    del held


def _needs(name: str) -> None:
    if shutil.which(name) is None:
        lacking(f"needs {name}, of util-linux")


def _cpu_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
