"""Nothing that a program passes to its children, or gets from them, is in the telemetry."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness import wait_until

CANARY = "swordfish"
SAY = f"import sys; print('{CANARY}'); print('{CANARY}', file=sys.stderr)"

CHILDREN: dict[str, dict[str, Any]] = {
    "command line without shell": {"args": f"tool --password {CANARY}"},
    "path at the end of a command line": {"args": f"tool --key /home/{CANARY}"},
    "bytes": {"args": f"tool --password {CANARY}".encode()},
    "path object": {"args": pathlib.Path(f"tool --password {CANARY}")},
    "no-break space": {"args": f"tool\N{NO-BREAK SPACE}{CANARY}"},
    "command line in a list": {"args": [f"tool --password {CANARY}"]},
    "command line as executable": {"args": ["tool"], "executable": f"tool --key /{CANARY}"},
    "shell text": {"args": f": {CANARY}", "shell": True},
    "shell text in a list": {"args": [f": {CANARY}", CANARY], "shell": True},
    "another shell": {"args": f": {CANARY}", "shell": True, "executable": "/bin/sh"},
    "argv": {"args": ["true", CANARY]},
    "argv[0]": {"args": [CANARY, CANARY], "executable": "/bin/true"},
    "env": {"args": ["true"], "env": {"SECRET": CANARY, CANARY: "1"}},
    "bad env": {"args": ["true"], "env": {f"{CANARY}=": "1"}},
    "name in env that is not encodable": {"args": ["true"], "env": {f"{CANARY}\ud800": "1"}},
    "value in env that is not encodable": {"args": ["true"], "env": {"TRACEPARENT": f"{CANARY}\ud800"}},
    "path in env that is no text": {"args": ["true"], "env": {"PYTHONPATH": [CANARY]}},
    "cwd": {"args": ["true"], "cwd": f"/no/such/{CANARY}"},
    "NUL in a string": {"args": f"{CANARY}\0"},
    "NUL in a list": {"args": [f"{CANARY}\0"]},
    "NUL in an argument": {"args": ["true", f"{CANARY}\0"]},
    "NUL in executable": {"args": ["true"], "executable": f"{CANARY}\0"},
    "NUL in cwd": {"args": ["true"], "cwd": f"{CANARY}\0"},
    "not encodable": {"args": ["true", f"{CANARY}\ud800"]},
    "missing program": {"args": [f"/no/{CANARY}/such"]},
    "bad pass_fds": {"args": ["true"], "pass_fds": [CANARY]},
    "bad pass_fds without a number": {"args": ["true"], "pass_fds": (CANARY, -1)},
    "stdin": {"args": ["cat"], "input": CANARY.encode()},
    "stdout and stderr": {"args": [sys.executable, "-c", SAY]},
}


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("options", CHILDREN.values(), ids=CHILDREN)
def test_no_signal_contains_what_the_program_passes(ended: Any, options: dict[str, Any]) -> None:
    with suppress(OSError, ValueError, TypeError):
        subprocess.run(**options, capture_output=True, check=False)
    ended.one()
    assert CANARY not in _everything(ended.telemetry)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_no_signal_contains_the_text_of_an_error(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise OSError(2, CANARY, CANARY)

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "_USE_POSIX_SPAWN", True)
        patched.setattr(os, "posix_spawn", fail)
        with pytest.raises(FileNotFoundError, match=CANARY):
            subprocess.Popen(["/bin/true"], close_fds=False)
    assert ended.one()["error.type"] == "FileNotFoundError"
    assert CANARY not in _everything(ended.telemetry)
    (log,) = ended.telemetry.logs()
    assert log.log_record.attributes["exception.message"] == "[Errno 2] No such file or directory"


def test_the_message_of_another_error_is_its_type(ended: Any) -> None:
    with pytest.raises(ValueError, match="null byte"):
        subprocess.Popen(["true\0"])
    ended.one()
    (log,) = ended.telemetry.logs()
    assert log.log_record.attributes["exception.message"] == "ValueError"


def _wait(pid: int) -> None:
    os.waitpid(pid, 0)


def _fork(execute: Callable[[], object]) -> None:
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            execute()
        os._exit(1)
    _wait(pid)


def _in_folder(folder: Any, run: Callable[[], object]) -> None:
    before = Path.cwd()
    os.chdir(folder)
    try:
        run()
    finally:
        os.chdir(before)


OTHER_WAYS: dict[str, Callable[[Path], object]] = {
    "os.system: shell text": lambda _: os.system(f": {CANARY}"),
    "os.system: bytes": lambda _: os.system(f": {CANARY}".encode()),
    "os.system: NUL": lambda _: os.system(f": {CANARY}\0"),
    "os.system: output": lambda _: os.system(f"echo {CANARY}; echo {CANARY} >&2"),
    "os.system: cwd": lambda folder: _in_folder(folder, lambda: os.system("true")),
    "posix_spawn: argv": lambda _: _wait(os.posix_spawn("/bin/true", [CANARY, CANARY], {})),
    "posix_spawn: env": lambda _: _wait(os.posix_spawn("/bin/true", ["true"], {CANARY: CANARY})),
    "posix_spawn: bad env": lambda _: _wait(os.posix_spawn("/bin/true", ["true"], {f"{CANARY}=": "1"})),
    "posix_spawn: missing": lambda _: os.posix_spawn(f"/no/{CANARY}/such", ["such"], {}),
    "posix_spawn: command line": lambda _: os.posix_spawnp(f"tool --key {CANARY}", ["tool"], {}),
    "posix_spawn: NUL": lambda _: os.posix_spawnp(f"{CANARY}\0", ["tool"], {}),
    "posix_spawn: bad argv": lambda _: os.posix_spawnp("true", CANARY, {}),  # type: ignore[arg-type]
    "posix_spawn: file actions": lambda _: os.posix_spawn(
        "/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, f"/no/{CANARY}", os.O_RDONLY, 0)]
    ),
    "posix_spawn: cwd": lambda folder: _in_folder(
        folder, lambda: _wait(os.posix_spawnp("true", ["true"], {"PATH": "/bin"}))
    ),
    "spawn: argv": lambda _: os.spawnv(os.P_WAIT, "/bin/true", [CANARY, CANARY]),
    "spawn: env": lambda _: os.spawnve(os.P_WAIT, "/bin/true", ["true"], {CANARY: CANARY}),
    "spawn: missing": lambda _: os.spawnv(os.P_WAIT, f"/no/{CANARY}/such", ["such"]),
    "spawn: command line": lambda _: os.spawnvp(os.P_WAIT, f"tool --key /{CANARY}", ["tool"]),
    "spawn: NUL": lambda _: os.spawnvp(os.P_WAIT, f"{CANARY}\0", ["tool"]),
    "exec: argv": lambda _: _fork(lambda: os.execv("/bin/true", [CANARY, CANARY])),
    "exec: env": lambda _: _fork(lambda: os.execve("/bin/true", ["true"], {CANARY: CANARY})),
    "exec: missing": lambda _: _fork(lambda: os.execvp(f"/no/{CANARY}/such", ["such"])),
    "exec: bad argv": lambda _: _fork(lambda: os.execv("/bin/true", CANARY)),  # type: ignore[arg-type]
    "exec: cwd": lambda folder: _in_folder(folder, lambda: _fork(lambda: os.execvp("true", ["true"]))),
}


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("start", OTHER_WAYS.values(), ids=OTHER_WAYS)
def test_no_signal_contains_what_the_program_passes_otherwise(
    ended: Any, tmp_path: Path, start: Callable[[Path], object]
) -> None:
    folder = tmp_path / CANARY
    folder.mkdir()
    with suppress(OSError, ValueError, TypeError):
        start(folder)
    subprocess.run(["true"], check=True)
    wait_until(ended.registry.is_empty, timeout=60)
    assert CANARY not in _everything(ended.telemetry)
    assert ended.telemetry.spans("true")


@pytest.mark.parametrize(
    "options",
    [
        {"args": "tool --password X"},
        {"args": ["tool --password X"]},
        {"args": ["tool\0"]},
        {"args": ["tool"], "executable": "a tool"},
    ],
)
def test_a_text_that_may_be_a_command_line_is_no_name(ended: Any, options: dict[str, Any]) -> None:
    with pytest.raises((OSError, ValueError)):
        subprocess.run(**options, check=False)
    assert "process.executable.name" not in ended.one()
    assert ended.telemetry.spans()[0].name == "process"


def _everything(telemetry: Any) -> str:
    """Return all three signals as text."""
    text = [repr(telemetry.metrics())]
    text += [span.to_json() for span in telemetry.spans()]
    text += [log.to_json() for log in telemetry.logs()]
    return "\n".join(text)
