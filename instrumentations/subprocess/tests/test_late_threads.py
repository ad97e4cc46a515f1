"""Who ends an execution on a busy machine, where any thread may go on much later than another one."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandscope_instrumentation_subprocess._evidence import inspect_zombie
from sandscope_instrumentation_subprocess._file_descriptors import open_pidfd
from sandscope_instrumentation_subprocess._waits import _any_reaping, _exit_watcher, _reaping

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

REAPING: dict[str, Callable[[int], int]] = {
    "waitpid": lambda pid: os.waitpid(pid, 0)[1],
    "waitpid of a zombie": lambda pid: os.waitpid(_dead(pid), os.WNOHANG)[1],
    "waitpid of any": lambda pid: os.waitpid(_dead(pid) and -1, os.WNOHANG)[1],
    "waitpid with WUNTRACED": lambda pid: os.waitpid(pid, os.WUNTRACED)[1],
    "wait4": lambda pid: os.wait4(pid, 0)[1],
    "wait4 of a zombie": lambda pid: os.wait4(_dead(pid), os.WNOHANG)[1],
    "wait": lambda _: os.wait()[1],
    "wait3": lambda _: os.wait3(os.WUNTRACED)[1],
}


def _dead(pid: int) -> int:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


@pytest.mark.parametrize("how", REAPING)
def test_the_watcher_leaves_a_child_to_the_thread_that_reaps_it(
    ended: Any, in_fork: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    """Only that thread knows what the zombie told and what the kernel has reported."""

    def inspect(pid: int, exit_status: Any) -> Any:
        zombie = inspect_zombie(pid, exit_status)
        ended.registry.end_if_exited(ended.registry.get(pid))
        return zombie

    def on_reaped(child: Any, *args: Any, **kwargs: Any) -> None:
        ended.registry.end_if_exited(child)
        reaped.pop()(child, *args, **kwargs)

    def any_child() -> None:
        ended.telemetry.clear()
        reaped.append(ended.registry.on_reaped)
        ended.registry.on_reaped = on_reaped
        process = subprocess.Popen(["/bin/sh", "-c", f"ulimit -f 0; echo x > {tmp_path / 'output'}"])
        execution = ended.registry.get(process.pid).execution
        assert os.WTERMSIG(REAPING[how](process.pid)) == signal.SIGXFSZ
        process.returncode = 0  # no ResourceWarning
        assert execution.verdict is not None, "`sandscope exec` reports it now"
        assert execution.verdict.cause == "fse_limit_exceeded"
        attributes = ended.one()
        assert attributes["sandbox.verdict.cause"] == "fse_limit_exceeded"
        assert "sandbox.process.context_switches.voluntary" in attributes

    reaped: list[Any] = []
    for module in (_reaping, _any_reaping):
        monkeypatch.setattr(module, "inspect_zombie", inspect)
    in_fork(any_child)  # which has no other children


@pytest.mark.parametrize("how", ["waitpid", "wait4"])
def test_two_threads_wait_for_a_child(
    ended: Any, monkeypatch: pytest.MonkeyPatch, gate: Any, how: str
) -> None:
    """The one that has reaped it ends the execution, although the other one finds before that it is gone."""

    def on_reaped(*args: Any, **kwargs: Any) -> None:
        assert too_late.wait(60)
        reaped(*args, **kwargs)

    def wait() -> None:
        try:
            getattr(os, how)(process.pid, 0)
        except ChildProcessError:
            too_late.set()

    too_late = threading.Event()
    process = subprocess.Popen(["/bin/sh", "-c", "cat; exit 4"], stdin=gate.input)
    reaped = ended.registry.on_reaped
    monkeypatch.setattr(ended.registry, "on_reaped", on_reaped)
    threads = [threading.Thread(target=wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.open()
    for thread in threads:
        thread.join(60)
    process.returncode = 4
    assert ended.one()["process.exit.code"] == 4
    assert "sandbox.process.context_switches.voluntary" in ended.one()


@pytest.mark.parametrize(
    ("poll", "nothing"),
    [
        (lambda: os.waitpid(-1, os.WNOHANG), (0, 0)),
        (lambda: os.wait3(os.WNOHANG)[:2], (0, 0)),
        (lambda: os.wait4(-1, os.WNOHANG)[:2], (0, 0)),
        (lambda: os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG), None),
    ],
    ids=["waitpid", "wait3", "wait4", "waitid"],
)
def test_a_child_that_exits_while_the_program_polls(
    ended: Any, in_fork: Any, monkeypatch: pytest.MonkeyPatch, poll: Callable[[], Any], nothing: Any
) -> None:
    """It is reaped by the next call, which inspects it before."""

    def find_exited(*args: Any) -> Any:
        monkeypatch.setattr(_any_reaping, "find_exited", find)
        _dead(pids[0])
        return None, True

    def any_child() -> None:
        ended.telemetry.clear()
        process = subprocess.Popen(["/bin/sh", "-c", "exit 4"])
        pids.append(process.pid)
        monkeypatch.setattr(_any_reaping, "find_exited", find_exited)
        assert poll() == nothing
        assert poll() != nothing
        process.returncode = 4
        assert "process.exit.code" in ended.one()

    pids: list[int] = []
    find = _any_reaping.find_exited
    in_fork(any_child)


def test_a_timer_interrupts_a_wait_for_any_child(ended: Any, in_fork: Any) -> None:
    def stop(*_: Any) -> None:
        raise TimeoutError

    def any_child() -> None:
        ended.telemetry.clear()
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        assert process.stdin is not None
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(TimeoutError):
            os.wait()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        process.stdin.close()
        assert os.wait() == (process.pid, 0)
        process.returncode = 0
        assert ended.verdict()[0] == "OK"

    in_fork(any_child)


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_child_is_watched_too_late(ended: Any, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """No file descriptor is left of one whose execution another thread ends before, or at the same time."""

    def open_and_end(*args: Any) -> Any:
        pidfd = open_pidfd(*args)
        ended.registry.end_if_exited(child)
        return pidfd

    process = subprocess.Popen(["false"])
    child = ended.registry.get(process.pid)
    _dead(process.pid)
    ended.registry._watcher.remove(child)
    if when == "before":
        ended.registry.end_if_exited(child)
    else:
        monkeypatch.setattr(_exit_watcher, "open_pidfd", open_and_end)
    ended.registry.watch(child)
    watcher = ended.registry._watcher
    assert (watcher._pidfds, watcher._children) == ({}, {})
    assert process.wait() == 1
    assert ended.one()["process.exit.code"] == 1
