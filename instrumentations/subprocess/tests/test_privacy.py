"""Nothing that a program passes to its children, or gets from them, is in the telemetry."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest

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

    monkeypatch.setattr(subprocess, "_USE_POSIX_SPAWN", True)
    monkeypatch.setattr(os, "posix_spawn", fail)
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
