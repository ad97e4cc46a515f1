"""subprocess behaves for the program as it does without instrumentation."""

from __future__ import annotations

import inspect
import os
import pathlib
import pickle
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from harness import Telemetry
from sandscope_instrumentation_subprocess import SubprocessInstrumentor

PATCHED = [
    *((subprocess.Popen, name) for name in ("_execute_child", "_get_handles", "_internal_poll")),
    *((subprocess.Popen, name) for name in ("__init__", "wait", "communicate", "poll", "send_signal")),
    *((os, name) for name in ("waitpid", "kill", "killpg", "putenv", "unsetenv")),
    *((subprocess, name) for name in ("_fork_exec",) if hasattr(subprocess, name)),
]


def _anonymous_descriptors() -> dict[int, str]:
    """Return the descriptors such as pidfds and epoll instances, with their kind."""
    kinds = {}
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- strings are what is needed
        with suppress(FileNotFoundError):  # that of the listing itself
            kinds[int(number)] = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115 -- a magic link, not a path
    return {number: kind for number, kind in kinds.items() if "anon_inode" in kind}


def test_uninstrument_restores_everything(telemetry: Telemetry) -> None:
    before = [vars(owner)[name] for owner, name in PATCHED]
    poll_waitpid = getattr(subprocess, "_del_safe", None) and subprocess._del_safe.waitpid  # type: ignore[attr-defined]
    instrumentor = SubprocessInstrumentor()
    for _ in range(2):
        instrumentor.instrument(recorder=telemetry.recorder(instrumentor.scope))
        assert [vars(owner)[name] for owner, name in PATCHED] != before
        instrumentor.uninstrument()
        after = [vars(owner)[name] for owner, name in PATCHED]
        assert all(now is then for now, then in zip(after, before, strict=True))
        if poll_waitpid:
            assert subprocess._del_safe.waitpid is poll_waitpid  # type: ignore[attr-defined]
    subprocess.run(["true"], check=True)
    assert telemetry.spans() == []


def _signatures() -> dict[str, Any]:
    return {
        name: [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
        for name, function in vars(subprocess.Popen).items()
        if inspect.isfunction(function) and name != "_internal_poll"
    }


def test_signatures_are_those_of_the_standard_library(telemetry: Telemetry) -> None:
    plain = _signatures()
    polled = list(inspect.signature(subprocess.Popen._internal_poll).parameters)  # type: ignore[attr-defined]
    SubprocessInstrumentor().instrument(recorder=telemetry.recorder(SubprocessInstrumentor.scope))
    try:
        assert _signatures() == plain
        assert list(inspect.signature(subprocess.Popen._internal_poll).parameters) == polled  # type: ignore[attr-defined]
    finally:
        SubprocessInstrumentor().uninstrument()


def test_subclasses_isinstance_and_weak_references(ended: Any) -> None:
    class Subclass(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.additional = True

    with Subclass(["true"]) as process:
        assert isinstance(process, subprocess.Popen)
        assert weakref.ref(process)() is process
        assert process.additional
    plain = {
        "args",
        "pid",
        "returncode",
        "stdin",
        "stdout",
        "stderr",
        "encoding",
        "errors",
        "text_mode",
        "additional",
    }
    assert {name for name in vars(process) if not name.startswith("_")} <= plain | {
        "pipesize",
        "process_group",
    }
    assert ended.verdict()[0] == "OK"


def test_results_and_exceptions_pickle(ended: Any) -> None:
    result = subprocess.run(["false"], capture_output=True, check=False)
    assert vars(pickle.loads(pickle.dumps(result))) == vars(result)  # noqa: S301 -- made in the same line
    with pytest.raises(subprocess.CalledProcessError) as caught:
        result.check_returncode()
    assert pickle.loads(pickle.dumps(caught.value)).returncode == 1  # noqa: S301
    assert ended.verdict()[0] == "RE"


def test_arguments_by_position(ended: Any) -> None:
    names = list(inspect.signature(subprocess.Popen).parameters)[:11]
    given = {
        "args": "echo $A",
        "shell": True,
        "env": {"A": "1"},
        "stdout": subprocess.PIPE,
        "close_fds": True,
    }
    defaults = {name: p.default for name, p in inspect.signature(subprocess.Popen).parameters.items()}
    with subprocess.Popen(*[given.get(name, defaults[name]) for name in names]) as process:
        assert process.communicate()[0] == b"1\n"
    assert ended.one()["process.executable.name"] == "sh"


def test_an_iterator_of_arguments_is_read_once(ended: Any) -> None:
    def arguments() -> Iterator[str]:
        yield from ["/bin/sh", "-c", "exit 3"]

    assert subprocess.run(arguments(), check=False).returncode == 3  # type: ignore[arg-type]
    attributes = ended.one()
    assert "process.executable.name" not in attributes
    assert ended.telemetry.spans()[0].name == "process"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"args": pathlib.Path("/bin/true")}, "true"),
        ({"args": b"/bin/true"}, "true"),
        ({"args": ["anything"], "executable": "/bin/true"}, "true"),
        ({"args": [b"/bin/true", "secret"]}, "true"),
        ({"args": "secret; true", "shell": True}, "sh"),
        ({"args": "true", "shell": True, "executable": "/bin/sh"}, "sh"),
    ],
)
def test_the_name_is_the_executables(ended: Any, options: dict[str, Any], name: str) -> None:
    subprocess.run(**options, check=False, stderr=subprocess.DEVNULL)
    assert ended.one()["process.executable.name"] == name
    (span,), (log,) = ended.telemetry.spans(), ended.telemetry.logs()
    assert span.name == name
    assert "secret" not in repr((span.attributes, log.log_record.attributes, log.log_record.body))


def test_a_name_is_short_and_can_be_sent(ended: Any, tmp_path: pathlib.Path) -> None:
    program = os.fsencode(tmp_path) + b"/\xff" + b"x" * 200
    os.symlink("/bin/true", program)  # noqa: PTH211
    subprocess.run([program], check=True)
    assert ended.one()["process.executable.name"] == "?" + "x" * 63


@pytest.mark.parametrize("options", [{}, {"args": []}, {"args": ["true"], "bufsize": "x"}, {"args": 5}])
def test_invalid_arguments_raise_the_same_error(ended: Any, options: dict[str, Any]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- compared below
        subprocess.Popen(**options)
    with suppress_instrumentation(), pytest.raises(type(caught.value)) as plain:
        subprocess.Popen(**options)
    assert str(caught.value) == str(plain.value)
    assert len(ended.telemetry.spans()) <= 1


def test_an_exception_is_raised_unchanged(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class ProgramError(BaseException):
        pass

    def broken(*_args: Any) -> None:
        raise error

    error = ProgramError()
    monkeypatch.setattr(subprocess, "_USE_POSIX_SPAWN", True)
    # Until the end of the block, before the function's wrapper is removed.
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_spawn", lambda *_args, **_options: broken())
        with pytest.raises(ProgramError) as caught:
            subprocess.Popen(["/bin/true"], close_fds=False)
    assert caught.value is error
    assert caught.value.__context__ is None
    assert ended.verdict()[2] == "ie_supervisor_failure"


def test_a_child_started_while_instrumentation_is_suppressed(ended: Any) -> None:
    with suppress_instrumentation():
        result = subprocess.run(
            [sys.executable, "-c", "import os; print('TRACEPARENT' in os.environ)"],
            env={**os.environ, "A": "1"},
            stdout=subprocess.PIPE,
            check=True,
        )
    assert result.stdout == b"False\n"
    assert ended.telemetry.spans() == []


def test_a_descriptor_that_the_program_closed_and_reused_stays_open(ended: Any, gate: Any) -> None:
    before = _anonymous_descriptors()
    with subprocess.Popen(["cat"], stdin=gate.input):
        added = _anonymous_descriptors().items() - before.items()
        (pidfd,) = [number for number, kind in added if "pidfd" in kind]
        reused = os.open(os.devnull, os.O_RDONLY)
        os.dup2(reused, pidfd)
        os.close(reused)
        gate.open()
    assert os.readlink(f"/proc/self/fd/{pidfd}") == os.devnull  # noqa: PTH115 -- a magic link, not a path
    os.close(pidfd)
    assert ended.verdict()[0] == "OK"


def test_another_popen_is_not_patched(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    class AnotherPopen:
        def _execute_child(self, command: str) -> None:
            raise NotImplementedError

    before = subprocess.Popen
    subprocess.Popen = AnotherPopen  # type: ignore[assignment, misc]
    try:
        SubprocessInstrumentor().instrument(recorder=telemetry.recorder(SubprocessInstrumentor.scope))
    finally:
        subprocess.Popen = before  # type: ignore[misc]
        SubprocessInstrumentor().uninstrument()
    assert "is not the standard library's Popen" in caplog.text
