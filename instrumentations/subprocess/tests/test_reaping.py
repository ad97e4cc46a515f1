"""The program reaps its children when it ever did, and every execution ends once."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from harness import wait_until


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
        return file.read().rpartition(b")")[2].split()[0].decode()


def _causes(attributes: list[dict[str, Any]]) -> list[str]:
    return [a["sandbox.verdict.cause"] for a in attributes]


def test_a_child_that_nobody_waits_for_ends_and_stays_a_zombie(ended: Any) -> None:
    process = subprocess.Popen(["false"])
    assert ended.verdict() == ("RE", "runtime", "re_nonzero_exit", None)
    assert _state(process.pid) == "Z"
    assert process.wait() == 1
    assert len(ended.telemetry.spans()) == 1


def test_a_popen_that_is_a_threads_first_function(ended: Any) -> None:
    _thread.start_new_thread(subprocess.Popen, (["true"],))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert ended.verdict()[0] == "OK"


def test_a_dropped_popen_ends_its_execution(ended: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        subprocess.Popen(["sleep", "0.1"])
        gc.collect()
    assert ended.verdict()[0] == "OK"
    time.sleep(0.1)
    subprocess._cleanup()  # type: ignore[attr-defined]
    assert subprocess._active == []  # type: ignore[attr-defined]


def test_polling(ended: Any) -> None:
    process = subprocess.Popen(["/bin/sh", "-c", "sleep 0.05; exit 5"])
    assert process.poll() is None
    assert wait_until(lambda: process.poll() is not None)
    assert process.returncode == 5
    assert ended.one()["process.exit.code"] == 5


@pytest.mark.parametrize("code", [0, 7])
def test_communicate_with_a_timeout(ended: Any, code: int) -> None:
    script = f"cat; echo error >&2; exit {code}"
    result = subprocess.run(
        ["/bin/sh", "-c", script], input=b"x", capture_output=True, timeout=20, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (code, b"x", b"error\n")
    assert ended.one()["process.exit.code"] == code


def test_every_door_to_popen_is_one_execution(ended: Any) -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert process.returncode == 0
    subprocess.call(["true"])
    subprocess.check_call(["true"])
    subprocess.check_output(["true"])
    subprocess.run(["/bin/true"], close_fds=False, check=True)
    assert os.popen("exit 2").close() == 2 << 8  # noqa: S605
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
        process = await asyncio.create_subprocess_exec("sleep", "20")
        process.kill()
        return await process.wait()

    assert asyncio.run(killed()) == -signal.SIGKILL
    assert ended.verdict() == ("SIG", "judge", "sig_sent_by_parent", None)


def test_a_hundred_children_from_eight_threads(ended: Any) -> None:
    def one(number: int) -> int:
        process = subprocess.Popen(["/bin/sh", "-c", f"exit {number % 5}"])
        if number % 3 == 0:
            process.communicate(timeout=20)
        elif number % 3 == 1:
            process.wait()
        else:
            wait_until(lambda: process.poll() is not None)
        return process.returncode

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(100))) == [number % 5 for number in range(100)]
    codes = [a["process.exit.code"] for a in ended.all(100)]
    assert {code: codes.count(code) for code in range(5)} == dict.fromkeys(range(5), 20)
    watcher = 2
    assert wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before + watcher)  # noqa: PTH208


def test_waitpid_for_any_child(ended: Any) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # what other tests have left
    process = subprocess.Popen(["/bin/sh", "-c", "exit 4"])
    assert os.waitpid(-1, 0) == (process.pid, 4 << 8)
    assert process.wait() == 0, "what Popen says when others have reaped"
    assert ended.one()["process.exit.code"] == 4


def test_waitpid_tells_of_a_stop_without_ending_anything(ended: Any) -> None:
    with subprocess.Popen(["sleep", "20"]) as process:
        os.kill(process.pid, signal.SIGSTOP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert ended.telemetry.spans() == []
        process.kill()
    assert ended.verdict()[2] == "sig_sent_by_parent"


def test_waitpid_raises_as_ever(ended: Any) -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(1, 0)
    with pytest.raises(TypeError):
        os.waitpid("1", 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        os.waitpid()  # type: ignore[call-arg]
    assert ended.telemetry.spans() == []


@pytest.mark.parametrize("how", ["wait4", "libc"])
def test_a_child_reaped_behind_our_back_lacks_evidence(ended: Any, how: str) -> None:
    process = subprocess.Popen(["false"])
    if how == "wait4":
        os.wait4(process.pid, 0)
    else:
        ctypes.CDLL(None).waitpid(process.pid, None, 0)
    assert process.wait() == 0
    assert ended.verdict() == ("IE", "runtime", "ie_missing_evidence", None)


def test_an_ignored_sigchld_lacks_evidence_and_nothing_else_changes(ended: Any) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert subprocess.run(["/bin/sh", "-c", "sleep 0.05; exit 7"], check=False).returncode == 0
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert ended.verdict()[2] == "ie_missing_evidence"


def test_ctrl_c_while_waiting(ended: Any) -> None:
    interrupt = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    process = subprocess.Popen(["sleep", "0.6"])
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        process.wait()
    assert process.wait() == 0
    assert ended.verdict()[0] == "OK"


def _watched() -> bool:
    return any("pidfd" in link for link in _descriptors())


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (lambda: subprocess.run(["sleep", "0.4"], check=True), False),
        (lambda: subprocess.call(["sleep", "0.4"]), False),
        (lambda: subprocess.Popen(["sleep", "0.4"]).wait(), False),
        (lambda: subprocess.run(["sleep", "0.4"], check=True, capture_output=True), True),
        (lambda: subprocess.run(["sleep", "0.4"], check=True, timeout=20), True),
    ],
    ids=["run", "call", "wait", "pipe", "timeout"],
)
def test_the_watcher_is_spared_a_child_that_the_program_blocks_on(
    ended: Any, how: Callable[[], Any], expected: bool
) -> None:
    subprocess.run(["true"], check=True, capture_output=True)
    found: list[bool] = []
    look = threading.Timer(0.2, lambda: found.append(_watched()))
    look.start()
    how()
    look.join()
    assert found == [expected]
    assert not _watched()
    assert {a["sandbox.verdict.status"] for a in ended.all(2)} == {"OK"}


def test_the_exit_is_seen_in_time_after_an_interrupted_wait(ended: Any) -> None:
    process = subprocess.Popen(["sleep", "0.4"])
    interrupt = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        process.wait()
    time.sleep(1)
    assert process.wait() == 0
    (span,) = ended.telemetry.spans()
    assert 0.4 <= (span.end_time - span.start_time) / 1e9 < 0.9


def test_a_run_that_is_interrupted_before_it_waits_ends_its_execution(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "communicate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            subprocess.run(["sleep", "20"], check=False)
    assert ended.verdict()[2] == "sig_sent_by_parent"


def _descriptors() -> list[str]:
    links = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(FileNotFoundError):  # that of the listing itself
            links.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
    return links


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_knows_nothing_of_its_parents_children(ended: Any) -> None:
    with subprocess.Popen(["sleep", "0.3"]) as process:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ended.telemetry.clear()
                clean = not any("pidfd" in link or "eventpoll" in link for link in _descriptors())
                own = subprocess.run(["/bin/sh", "-c", "exit 3"], check=False).returncode == 3
                code = 0 if clean and own and ended.one()["process.exit.code"] == 3 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert process.wait() == 0
    assert ended.verdict()[0] == "OK"


def test_without_pidfds_executions_end_where_the_program_waits(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    process = subprocess.Popen(["false"])
    assert wait_until(lambda: process.poll() is not None)
    assert ended.verdict() == ("RE", "runtime", "re_nonzero_exit", None)
