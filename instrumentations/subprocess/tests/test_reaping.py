"""Only the program reaps its children, and every execution ends exactly once."""

from __future__ import annotations

import _thread
import asyncio
import ctypes
import gc
import os
import platform
import signal
import subprocess
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from harness import wait_until
from sandscope_instrumentation_subprocess._evidence import _pidfd_info


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
        return file.read().rpartition(b")")[2].split()[0].decode()


def _kernel() -> tuple[int, ...]:
    return tuple(int(number) for number in platform.release().split("-")[0].split(".")[:2])


def _causes(attributes: list[dict[str, Any]]) -> list[str]:
    return [a["sandbox.verdict.cause"] for a in attributes]


def test_a_child_that_nobody_waits_for_ends_and_stays_a_zombie(ended: Any) -> None:
    process = subprocess.Popen(["false"])
    assert ended.verdict() == ("RE", "guest", "re_nonzero_exit", None)
    assert _state(process.pid) == "Z"
    assert process.wait() == 1
    assert len(ended.telemetry.spans()) == 1


def test_a_popen_that_is_a_threads_first_function(ended: Any) -> None:
    _thread.start_new_thread(subprocess.Popen, (["true"],))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert ended.verdict()[0] == "OK"


def test_a_popen_that_is_dropped_while_its_child_runs(ended: Any, gate: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        pid = subprocess.Popen(["cat"], stdin=gate.input).pid
        gc.collect()
    (dropped,) = [p for p in subprocess._active if p.pid == pid]  # type: ignore[attr-defined]
    gate.open()
    assert ended.verdict()[0] == "OK"
    subprocess._cleanup()  # type: ignore[attr-defined]
    assert dropped not in subprocess._active  # type: ignore[attr-defined]


def test_polling(ended: Any, gate: Any) -> None:
    process = subprocess.Popen(["/bin/sh", "-c", "cat; exit 5"], stdin=gate.input)
    assert process.poll() is None
    gate.open()
    assert wait_until(lambda: process.poll() is not None, timeout=60)
    assert process.returncode == 5
    assert ended.one()["process.exit.code"] == 5


@pytest.mark.parametrize("code", [0, 7])
def test_communicate_with_a_timeout(ended: Any, code: int) -> None:
    script = f"cat; echo error >&2; exit {code}"
    result = subprocess.run(
        ["/bin/sh", "-c", script], input=b"x", capture_output=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (code, b"x", b"error\n")
    assert ended.one()["process.exit.code"] == code


def test_each_function_that_uses_popen_is_one_execution(ended: Any) -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert process.returncode == 0
    subprocess.call(["true"])
    subprocess.check_call(["true"])
    subprocess.check_output(["true"])
    subprocess.run(["/bin/true"], close_fds=False, check=True)
    assert os.popen("exit 2").close() == 2 << 8
    assert sorted(_causes(ended.all(6))) == ["normal_exit"] * 5 + ["re_nonzero_exit"]


def test_asyncio(ended: Any) -> None:
    async def many() -> list[int]:
        processes = [
            *[await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exit {n}") for n in range(3)],
            await asyncio.create_subprocess_shell("exit 3"),
        ]
        return [await process.wait() for process in processes]

    assert asyncio.run(many()) == [0, 1, 2, 3]
    assert sorted(a["process.exit.code"] for a in ended.all(4)) == [0, 1, 2, 3]


def test_asyncio_kill(ended: Any) -> None:
    async def killed() -> int:
        process = await asyncio.create_subprocess_exec("sleep", "600")
        process.kill()
        return await process.wait()

    assert asyncio.run(killed()) == -signal.SIGKILL
    assert ended.verdict() == ("SIG", "host", "sig_sent_by_parent", None)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_waitpid_for_any_child(ended: Any, in_fork: Any) -> None:
    def any_child() -> None:
        ended.telemetry.clear()
        process = subprocess.Popen(["/bin/sh", "-c", "exit 4"])
        assert os.waitpid(-1, 0) == (process.pid, 4 << 8)
        assert process.wait() == 0, "what Popen returns if other code has reaped the child"
        assert ended.one()["process.exit.code"] == 4

    in_fork(any_child)  # which has no other children


def test_waitpid_reports_a_stopped_child_and_the_execution_goes_on(ended: Any) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        os.kill(process.pid, signal.SIGSTOP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert ended.telemetry.spans() == []
        process.kill()
    assert ended.verdict()[2] == "sig_sent_by_parent"


def test_waitpid_raises_the_same_errors(ended: Any) -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(1, 0)
    with pytest.raises(TypeError):
        os.waitpid("1", 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        os.waitpid()  # type: ignore[call-arg]
    assert ended.telemetry.spans() == []


@pytest.mark.parametrize(
    "reap",
    [
        lambda pid: os.wait4(pid, 0)[:2] == (pid, 4 << 8),
        lambda pid: os.wait4(pid=pid, options=0)[:2] == (pid, 4 << 8),
        lambda pid: os.waitid(os.P_PID, pid, os.WEXITED).si_status == 4,  # type: ignore[union-attr]
        lambda pid: os.waitid(os.P_PIDFD, os.pidfd_open(pid), os.WEXITED).si_status == 4,  # type: ignore[union-attr]
    ],
    ids=["wait4", "wait4 by name", "waitid", "waitid of a pidfd"],
)
def test_other_functions_that_reap_a_child(ended: Any, reap: Callable[[int], bool]) -> None:
    process = subprocess.Popen(["/bin/sh", "-c", "exit 4"])
    assert reap(process.pid)
    assert ended.one()["process.exit.code"] == 4
    assert process.wait() == 0, "what Popen returns if other code has reaped the child"


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("recorder_kind", ["deferred"])
@pytest.mark.parametrize(
    "reap",
    [
        lambda: os.wait()[:2],
        lambda: os.wait3(0)[:2],
        lambda: os.wait4(-1, 0)[:2],
        lambda: os.waitpid(0, 0),
        lambda: (os.waitid(os.P_ALL, 0, os.WEXITED).si_pid, signal.SIGXCPU),  # type: ignore[union-attr]
    ],
    ids=["wait", "wait3", "wait4", "waitpid of the group", "waitid"],
)
def test_functions_that_reap_any_child_inspect_it(
    ended: Any, in_fork: Any, python: Callable[[str], list[str]], reap: Callable[[], Any]
) -> None:
    """Whether a signal was the kernel's is visible in the zombie only."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 3))\nwhile True: pass"

    def any_child() -> None:
        ended.telemetry.clear()
        process = subprocess.Popen(python(limited))
        assert reap() == (process.pid, signal.SIGXCPU)
        assert ended.verdict()[2] == "tle_cpu_kernel"
        with pytest.raises(ChildProcessError):
            reap()
        process.returncode = 0  # no ResourceWarning

    in_fork(any_child)


def test_waitid_that_leaves_a_zombie_and_the_execution_goes_on(ended: Any) -> None:
    process = subprocess.Popen(["false"])
    result = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert result is not None
    assert result.si_status == 1
    assert process.wait() == 1
    assert ended.one()["process.exit.code"] == 1


@pytest.mark.parametrize("kernel_tells", [True, False])
def test_a_child_reaped_by_c_code(ended: Any, monkeypatch: pytest.MonkeyPatch, kernel_tells: bool) -> None:
    if not kernel_tells:
        monkeypatch.setattr(_pidfd_info, "_PIDFD_GET_INFO", 0)
    process = subprocess.Popen(["false"])
    ctypes.CDLL(None).waitpid(process.pid, None, 0)
    assert process.wait() == 0
    if kernel_tells and _kernel() >= (6, 15):
        assert ended.verdict() == ("RE", "guest", "re_nonzero_exit", None)
    else:
        assert ended.verdict() == ("IE", "unknown", "ie_missing_evidence", None)


@pytest.mark.parametrize("how", [subprocess.run, lambda command: subprocess.Popen(command).wait()])
def test_an_ignored_sigchld(ended: Any, monkeypatch: pytest.MonkeyPatch, how: Callable[[Any], Any]) -> None:
    """The program learns nothing of such a child, and the instrumentation only what its pidfd says."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        how(["/bin/sh", "-c", "sleep 0.6; exit 7"])
        attributes = ended.one()
    finally:
        signal.signal(signal.SIGCHLD, before)
    if _kernel() < (6, 15):
        assert ended.verdict() == ("IE", "unknown", "ie_missing_evidence", None)
    else:
        assert ended.verdict() == ("RE", "guest", "re_nonzero_exit", None)
        assert attributes["process.exit.code"] == 7


def test_an_ignored_sigchld_and_an_older_kernel(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pidfd_info, "_PIDFD_GET_INFO", 0)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert subprocess.run(["/bin/sh", "-c", "exit 7"], check=False).returncode == 0
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert ended.verdict() == ("IE", "unknown", "ie_missing_evidence", None)


def test_a_run_that_is_interrupted_before_it_waits_ends_its_execution(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "communicate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            subprocess.run(["sleep", "600"], check=False)
    assert ended.verdict()[2] == "sig_sent_by_parent"
