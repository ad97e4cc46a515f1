"""A program whose handler of SIGCHLD reaps children learns how they ended as without instrumentation."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from harness import lacking, wait_until
from harness._toolchains import compiled
from sandscope_instrumentation_subprocess._evidence import wait_without_reaping
from sandscope_instrumentation_subprocess._waits import _reaping
from sandscope_instrumentation_subprocess._waits._sigchld import handler_may_reap

SOURCE = Path(__file__).with_name("reaps_on_sigchld.c")
LATE = ["/bin/sh", "-c", "sleep 0.5; exit 3"]
"""Ends when the program waits already. A child that ends before is the handler's, also without instrumentation."""


@contextmanager
def _python_handler() -> Iterator[list[int]]:
    """Yield the process ids that the handler has reaped."""

    def reap(*_: Any) -> None:
        try:
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                reaped.append(pid)
        except ChildProcessError:
            pass

    reaped: list[int] = []
    before = signal.signal(signal.SIGCHLD, reap)
    try:
        yield reaped
    finally:
        signal.signal(signal.SIGCHLD, before)


@contextmanager
def _c_handler() -> Iterator[None]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        lacking("needs a C compiler: apt install gcc")
    options = ("-shared", "-fPIC", "-O1")
    with suppress_instrumentation():  # the compiler is a child, too, where nothing is cached yet
        path = compiled(
            "reaps_on_sigchld", [SOURCE], lambda target: [compiler, *options, "-o", target, SOURCE]
        )
    library = ctypes.CDLL(str(path))
    assert library.install() == 0
    try:
        yield
    finally:
        assert library.restore() == 0


def _wait_for_any() -> int:
    process = subprocess.Popen(LATE)
    pid, status = os.wait()
    assert pid == process.pid
    return os.waitstatus_to_exitcode(status)


WAYS: dict[str, Callable[[], int]] = {
    "run": lambda: subprocess.run(LATE, check=False).returncode,
    "wait": lambda: subprocess.Popen(LATE).wait(),
    "os.wait": _wait_for_any,
    "os.waitpid": lambda: os.waitstatus_to_exitcode(os.waitpid(subprocess.Popen(LATE).pid, 0)[1]),
    "os.spawnv": lambda: os.spawnv(os.P_WAIT, LATE[0], LATE),
}


@pytest.mark.filterwarnings("ignore:.*still running:ResourceWarning")
@pytest.mark.parametrize("handler", [_python_handler, _c_handler])
@pytest.mark.parametrize("way", WAYS)
def test_the_program_learns_the_exit_code(ended: Any, way: str, handler: Callable[[], Any]) -> None:
    with handler():
        assert WAYS[way]() == 3
    assert ended.verdict() == ("RE", "guest", "re_nonzero_exit", None)


def test_the_handler_gets_a_child_that_nobody_waits_for(ended: Any) -> None:
    with _python_handler() as reaped:
        process = subprocess.Popen(LATE)
        assert wait_until(lambda: reaped != [], timeout=60)
    assert reaped == [process.pid]
    assert process.wait() == 0, "Popen takes a lost status for a success"
    assert ended.verdict() == ("RE", "guest", "re_nonzero_exit", None)


def test_a_limit_is_known_without_a_look_at_the_zombie(ended: Any, tmp_path: Path) -> None:
    script = "ulimit -f 1; sleep 0.5; exec dd if=/dev/zero of=large bs=64k count=1"
    with _python_handler():
        subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, stderr=subprocess.DEVNULL, check=False)
    assert ended.verdict() == ("FSE", "kernel", "fse_limit_exceeded", "output")


def test_who_has_a_handler() -> None:
    async def with_loop() -> bool:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, print)
        return handler_may_reap()

    before = signal.getsignal(signal.SIGCHLD)
    try:
        for none in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(signal.SIGCHLD, none)
            assert not handler_may_reap()
        assert not asyncio.run(with_loop()), "the loop reaps later"
        with _python_handler():
            assert handler_may_reap()
        with _c_handler():
            assert handler_may_reap()
        assert not handler_may_reap()
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("when", ["before the look", "between the look and the reaping"])
def test_c_code_reaps_during_run(ended: Any, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """On another thread, for example. Who comes first is up to the kernel; here, C code does."""

    def reap_first(pid: int, *rest: int) -> Any:
        assert ctypes.CDLL(None).waitpid(pid, None, 0) == pid
        return plain(pid, *rest)

    if when == "before the look":
        plain: Callable[..., Any] = wait_without_reaping
        monkeypatch.setattr(
            "sandscope_instrumentation_subprocess._waits._observed_wait.wait_without_reaping", reap_first
        )
    else:
        plain = _reaping._wait4
        monkeypatch.setattr(_reaping, "_wait4", reap_first)
    assert subprocess.run(["/bin/sh", "-c", "exit 3"], check=False).returncode == 0, "as Popen does"
    assert ended.verdict() == ("IE", "unknown", "ie_missing_evidence", None)
