"""A child of ``os.posix_spawn`` or ``os.posix_spawnp`` is one execution."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from harness import wait_until

TRUE = "/bin/true"
PRINT = "import os; print({k: v for k, v in os.environ.items() if k in ('TRACEPARENT', 'OWN')})"


@pytest.fixture(params=["posix_spawn", "posix_spawnp"])
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of the function."""
    return str(request.param)


def test_one_execution_a_child(ended: Any, name: str) -> None:
    pid = getattr(os, name)(TRUE, [TRUE], os.environ)
    assert os.waitpid(pid, 0) == (pid, 0)
    attributes = ended.one()
    assert ended.verdict_in(attributes) == ("OK", "guest", "normal_exit", None)
    assert attributes["process.executable.name"] == "true"
    assert attributes["process.pid"] == pid
    assert attributes["sandbox.process.shell"] is False


def test_posix_spawnp_searches_the_path(ended: Any) -> None:
    os.waitpid(os.posix_spawnp("true", ["true"], os.environ), 0)
    assert ended.verdict()[0] == "OK"


def test_options_are_passed_on(ended: Any, name: str) -> None:
    reader, writer = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_CLOSE, reader)]
    pid = getattr(os, name)(
        "/bin/sh", ["sh", "-c", "echo $OWN"], {"OWN": "1"}, file_actions=actions, setsid=True
    )
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.read() == "1\n"
    os.waitpid(pid, 0)
    assert ended.verdict()[0] == "OK"


@pytest.mark.parametrize("env", [{}, {"OWN": "1"}, {b"OWN": b"1"}, {"TRACEPARENT": "own"}], ids=str)
def test_the_child_continues_the_trace(ended: Any, env: Any) -> None:
    reader, writer = os.pipe()
    given = dict(env)
    command = [sys.executable, "-c", PRINT]
    pid = os.posix_spawn(sys.executable, command, env, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)])
    os.close(writer)
    with os.fdopen(reader) as file:
        variables = eval(file.read())  # noqa: S307 -- printed by the test's child
    os.waitpid(pid, 0)
    assert env == given
    ended.one()
    (span,) = ended.telemetry.spans()
    ids = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
    assert variables.pop("TRACEPARENT").startswith(env.get("TRACEPARENT", ids))
    assert variables == ({"OWN": "1"} if len(env) and "TRACEPARENT" not in env else {})


@pytest.mark.skipif(sys.version_info < (3, 13), reason="env may not be None")
def test_an_inherited_environment(ended: Any) -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", 'test -n "$TRACEPARENT"'], None)
    os.waitpid(pid, 0)
    assert ended.verdict()[0] == "OK"


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="env may be None")
def test_no_environment_is_refused_as_before(ended: Any) -> None:
    with pytest.raises(TypeError, match="environment must be a mapping object"):
        os.posix_spawn(TRUE, [TRUE], None)
    assert ended.verdict()[0] == "IE"


def test_a_program_that_does_not_exist(ended: Any, name: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        getattr(os, name)("/no/such/tool", ["tool"], os.environ)
    assert caught.value.filename == "/no/such/tool"
    attributes = ended.one()
    assert ended.verdict_in(attributes) == ("IE", "host", "ie_supervisor_failure", None)
    assert attributes["process.executable.name"] == "tool"


@pytest.mark.parametrize("args", [(), (TRUE,), (TRUE, [TRUE], {}, 4)], ids=len)
def test_a_wrong_number_of_arguments(ended: Any, name: str, args: Any) -> None:
    with pytest.raises(TypeError, match=name):
        getattr(os, name)(*args)
    assert ended.telemetry.spans() == []


def test_a_signal_of_the_program(ended: Any) -> None:
    pid = os.posix_spawnp("sleep", ["sleep", "600"], os.environ)
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    assert ended.verdict() == ("SIG", "host", "sig_sent_by_parent", None)


def test_a_child_that_nobody_waits_for(ended: Any) -> None:
    pid = os.posix_spawn(TRUE, [TRUE], os.environ)
    wait_until(lambda: len(ended.telemetry.spans()) == 1, timeout=60)
    assert os.waitpid(pid, 0) == (pid, 0)
    assert ended.verdict()[0] == "OK"


def test_a_popen_that_uses_it_is_counted_once(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "_USE_POSIX_SPAWN", True)
    assert subprocess.run([TRUE], close_fds=False, check=False).returncode == 0
    ended.one()
