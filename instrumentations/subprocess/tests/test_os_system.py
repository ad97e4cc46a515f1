"""``os.system`` is one execution of a shell."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from sandscope_instrumentation_subprocess import SubprocessInstrumentor


def test_success(ended: Any) -> None:
    assert os.system("exit 0") == 0
    attributes = ended.one()
    assert ended.verdict_in(attributes) == ("OK", "guest", "normal_exit", None)
    assert attributes["process.executable.name"] == "sh"
    assert attributes["sandbox.process.shell"] is True
    assert attributes["process.exit.code"] == 0
    assert "process.pid" not in attributes
    assert ended.telemetry.spans()[0].name == "sh"


def test_exit_code(ended: Any) -> None:
    assert os.waitstatus_to_exitcode(os.system("exit 7")) == 7
    attributes = ended.one()
    assert ended.verdict_in(attributes) == ("RE", "guest", "re_nonzero_exit", None)
    assert attributes["process.exit.code"] == 7


def test_a_signal_to_the_shell(ended: Any) -> None:
    assert os.waitstatus_to_exitcode(os.system("kill -KILL $$")) == -signal.SIGKILL
    attributes = ended.one()
    assert attributes["sandbox.process.signal"] == "SIGKILL"
    assert ended.verdict_in(attributes) == ("SIG", "unknown", "sig_unattributed", None)


def test_what_the_shell_tells(ended: Any) -> None:
    os.system("sh -c 'kill -SEGV $$'; exit $?")
    attributes = ended.one()
    assert attributes["sandbox.verdict.basis"] == "told"
    assert ended.verdict_in(attributes) == ("SIG", "guest", "re_fatal_signal", None)


def test_a_status_that_other_code_has_collected(ended: Any) -> None:
    handler = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert os.system("exit 0") == -1
    finally:
        signal.signal(signal.SIGCHLD, handler)
    assert ended.verdict() == ("IE", "unknown", "ie_missing_evidence", None)


def test_keyword_and_bytes(ended: Any) -> None:
    assert os.system(command="exit 0") == 0
    assert os.system(b"exit 0") == 0
    ended.all(2)


@pytest.mark.parametrize("command", [None, 1, "exit\0"])
def test_an_argument_that_is_refused(ended: Any, command: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        os.system(command)
    assert ended.verdict() == ("IE", "host", "ie_supervisor_failure", None)


def test_the_shell_has_the_environment_as_before(ended: Any, capfd: pytest.CaptureFixture[str]) -> None:
    os.system("env")
    ended.one()
    assert "TRACEPARENT" not in capfd.readouterr().out


def test_nothing_is_recorded_afterwards(ended: Any) -> None:
    SubprocessInstrumentor().uninstrument()
    assert os.system("exit 0") == 0
    assert ended.telemetry.spans() == []
