"""A forked child that executes a program is one execution; one that does not is none."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

import pytest

from harness import run_program, wait_until
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
from sandscope_instrumentation_subprocess._forked._fork_slots import CAPACITY

MANY_FORKS = """
import os
from sandscope.instrumentation.testing import Telemetry
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
from sandscope_instrumentation_subprocess._forked._fork_slots import CAPACITY

telemetry = Telemetry("direct")
instrumentor = SubprocessInstrumentor()
instrumentor.instrument(recorder=telemetry.recorder(instrumentor.scope))
reader, writer = os.pipe()
pids = []
for _ in range(CAPACITY + 3):
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os.execlp("true", "true")
    pids.append(pid)
os.close(writer)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
instrumentor.uninstrument()
print(len(telemetry.spans()))
"""

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

SPAWNS: dict[str, Callable[[int, list[str]], int]] = {
    "spawnl": lambda mode, args: os.spawnl(mode, f"/bin/{args[0]}", *args),
    "spawnle": lambda mode, args: os.spawnle(mode, f"/bin/{args[0]}", *args, {}),
    "spawnlp": lambda mode, args: os.spawnlp(mode, *args[:1], *args),
    "spawnlpe": lambda mode, args: os.spawnlpe(mode, *args[:1], *args, {"PATH": "/bin"}),
    "spawnv": lambda mode, args: os.spawnv(mode, f"/bin/{args[0]}", args),
    "spawnve": lambda mode, args: os.spawnve(mode, f"/bin/{args[0]}", args, {}),
    "spawnvp": lambda mode, args: os.spawnvp(mode, args[0], args),
    "spawnvpe": lambda mode, args: os.spawnvpe(mode, args[0], args, {"PATH": "/bin"}),
}


def _fork(in_child: Callable[[], Any], fork: Callable[[], int] = os.fork) -> int:
    """Call something in a forked child, which then ends; return its process id."""
    pid = fork()
    if pid == 0:
        with suppress(BaseException):
            in_child()
        os._exit(99)
    return pid


def _exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("spawn", SPAWNS.values(), ids=SPAWNS)
def test_os_spawn_that_waits(ended: Any, spawn: Any) -> None:
    assert spawn(os.P_WAIT, ["sh", "-c", "exit 3"]) == 3
    attributes = ended.one()
    assert ended.verdict_in(attributes) == ("RE", "guest", "re_nonzero_exit", None)
    assert attributes["process.executable.name"] == "sh"
    assert attributes["sandbox.process.shell"] is False


@pytest.mark.parametrize("spawn", SPAWNS.values(), ids=SPAWNS)
def test_the_child_of_os_spawn_continues_the_trace(
    ended: Any, spawn: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert spawn(os.P_WAIT, ["sh", "-c", 'echo "$TRACEPARENT"']) == 0
    ended.one()
    (span,) = ended.telemetry.spans()
    printed = capfd.readouterr().out
    assert printed.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")
    assert "TRACEPARENT" not in os.environ


def test_a_signal_of_the_program(ended: Any) -> None:
    pid = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
    wait_until(lambda: not ended.registry.forked.pending, timeout=60)
    os.kill(pid, signal.SIGTERM)
    assert _exit_code(pid) == -signal.SIGTERM
    assert ended.verdict() == ("SIG", "host", "sig_sent_by_parent", None)


def test_a_child_that_nobody_waits_for_ends_at_its_exit(ended: Any) -> None:
    began = time.time_ns()
    pid = os.spawnlp(os.P_NOWAIT, "true", "true")
    wait_until(lambda: len(ended.telemetry.spans()) == 1, timeout=60)
    assert ended.telemetry.spans()[0].start_time >= began
    assert _exit_code(pid) == 0
    assert ended.verdict()[0] == "OK"


def test_a_program_that_does_not_exist(ended: Any) -> None:
    assert os.spawnlp(os.P_WAIT, "no-such-tool", "no-such-tool") == 127
    attributes = ended.one()
    assert ended.verdict_in(attributes) == ("IE", "host", "ie_supervisor_failure", None)
    assert attributes["process.executable.name"] == "no-such-tool"
    assert attributes["error.type"] == "FileNotFoundError"


def test_a_child_that_executes_nothing_is_no_execution(ended: Any) -> None:
    assert _exit_code(_fork(lambda: os._exit(3))) == 3
    assert ended.registry.is_empty()
    assert ended.telemetry.spans() == []
    assert ended.telemetry.points("sandbox.execution.active") == []


def test_a_child_that_executes_a_program_later(ended: Any) -> None:
    def in_child() -> None:
        time.sleep(0.05)
        os.execv("/bin/sh", ["sh", "-c", "exit 4"])

    assert _exit_code(_fork(in_child)) == 4
    attributes = ended.one()
    assert (attributes["process.exit.code"], attributes["process.executable.name"]) == (4, "sh")


def test_a_second_attempt_counts(ended: Any) -> None:
    def in_child() -> None:
        with suppress(OSError):
            os.execv("/no/such/tool", ["tool"])
        os.execvp("sh", ["sh", "-c", "exit 5"])

    assert _exit_code(_fork(in_child)) == 5
    assert ended.one()["process.executable.name"] == "sh"


def test_a_failed_attempt_leaves_the_environment(ended: Any) -> None:
    def in_child() -> NoReturn:
        with suppress(OSError):
            os.execv("/no/such/tool", ["tool"])
        os._exit(os.WEXITSTATUS(os.system('test -z "$TRACEPARENT"')))

    assert _exit_code(_fork(in_child)) == 0
    ended.one()


def test_the_programs_own_context_stays(ended: Any) -> None:
    def in_child() -> None:
        os.environ["TRACEPARENT"] = "own"
        os.execv("/bin/sh", ["sh", "-c", 'test "$TRACEPARENT" = own'])

    assert _exit_code(_fork(in_child)) == 0
    assert _exit_code(_fork(lambda: os.execve("/bin/sh", ["sh", "-c", 'test "$TRACEPARENT" = own'],
                                              {"TRACEPARENT": "own"}))) == 0  # fmt: skip
    ended.all(2)


def test_an_argument_that_is_refused_is_no_execution(ended: Any) -> None:
    errors: list[str] = []

    def in_child() -> NoReturn:
        for call in (lambda: os.execv("/bin/true", "true"), lambda: os.execve("/bin/true", ["true"], 1)):
            try:
                call()
            except TypeError as error:
                errors.append(str(error))
        expected = [
            "execv() arg 2 must be a tuple or list",
            "execve: environment must be a mapping object",
        ]
        os._exit(errors != expected)

    assert _exit_code(_fork(in_child)) == 0
    assert ended.telemetry.spans() == []


def test_pty_spawn(ended: Any) -> None:
    def read(descriptor: int) -> bytes:
        return os.read(descriptor, 1024)

    reader, writer = os.pipe()
    os.close(writer)
    keyboard, saved = os.dup(0), os.dup(0)
    os.dup2(reader, 0)
    try:
        status = pty.spawn(["sh", "-c", "exit 6"], read, lambda _: b"")
    finally:
        os.dup2(saved, 0)
        for descriptor in (reader, keyboard, saved):
            os.close(descriptor)
    assert os.waitstatus_to_exitcode(status) == 6
    assert ended.one()["process.exit.code"] == 6


def test_forkpty(ended: Any) -> None:
    pid, descriptor = os.forkpty()
    if pid == 0:
        os.execlp("sh", "sh", "-c", "exit 7")
    with suppress(OSError):
        while os.read(descriptor, 1024):
            pass
    os.close(descriptor)
    assert _exit_code(pid) == 7
    assert ended.one()["process.exit.code"] == 7


@pytest.mark.parametrize("name", ["wait", "wait3", "wait4", "waitid"])
def test_the_other_functions_that_wait(ended: Any, name: str) -> None:
    arguments = {"wait3": (0,), "wait4": (-1, 0), "waitid": (os.P_ALL, 0, os.WEXITED)}
    pid, reaped = _fork(lambda: os.execlp("sh", "sh", "-c", "exit 8")), None
    while reaped != pid:  # they may also reap children that earlier tests have left
        result = getattr(os, name)(*arguments.get(name, ()))
        reaped = result.si_pid if name == "waitid" else result[0]
    assert ended.one()["process.exit.code"] == 8


def test_a_popen_with_preexec_fn_is_counted_once(ended: Any) -> None:
    subprocess.run(["true"], preexec_fn=lambda: None, check=True)
    ended.one()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_is_not_recorded(ended: Any, method: str) -> None:
    process = get_context(method).Process(target=time.sleep, args=(0,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert ended.registry.is_empty()
    assert ended.telemetry.spans() == []


def test_a_child_of_a_child_belongs_to_the_child(ended: Any) -> None:
    def in_child() -> NoReturn:
        os._exit(os.spawnlp(os.P_WAIT, "sh", "sh", "-c", "exit 9"))

    assert _exit_code(_fork(in_child)) == 9
    assert ended.telemetry.spans() == []


def test_a_fork_starts_no_thread_and_opens_no_file(ended: Any) -> None:
    threads, files = threading.active_count(), sorted(Path("/proc/self/fd").iterdir())
    pid = _fork(lambda: os._exit(0))
    assert threading.active_count() == threads
    assert sorted(Path("/proc/self/fd").iterdir()) == files
    _exit_code(pid)


def test_more_forks_than_are_kept() -> None:
    """In a small process of its own, of which hundreds of copies need little memory."""
    ran = run_program(MANY_FORKS, way=())
    assert (ran.returncode, ran.stdout) == (0, f"{CAPACITY}\n"), ran.stderr


def test_threads_that_fork(ended: Any) -> None:
    def run() -> None:
        for _ in range(10):
            assert os.spawnlp(os.P_WAIT, "true", "true") == 0

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each["process.exit.code"] for each in ended.all(80)} == {0}


def test_nothing_is_recorded_afterwards(ended: Any) -> None:
    SubprocessInstrumentor().uninstrument()
    assert os.spawnlp(os.P_WAIT, "true", "true") == 0
    assert ended.telemetry.spans() == []


def test_a_program_that_is_named_by_a_descriptor(ended: Any) -> None:
    if os.execve not in os.supports_fd:
        pytest.skip("not supported here")
    descriptor = os.open("/bin/true", os.O_RDONLY)
    assert _exit_code(_fork(lambda: os.execve(descriptor, ["true"], {}))) == 0
    os.close(descriptor)
    assert "process.executable.name" not in ended.one()
    assert sys.platform != "darwin"


def test_a_child_that_writes_late_does_not_hide_another_one(ended: Any) -> None:
    """Its parent has seen that it executes a program; that has failed, and it looks in the next folder of PATH."""
    forks = ended.registry.forked.forks

    def fork() -> Any:
        forks.before_fork("os")
        return forks._starting.pop(threading.get_ident())

    first = fork()
    first.slot.execute("true")
    forks.forget(first)
    second = fork()
    first.slot._write(1, executed=False)
    second.slot.announce()
    assert second.slot.read().pid == os.getpid()
    forks.forget(second)
