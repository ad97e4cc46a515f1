"""Children get the trace context; everything else in their environment stays the same."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from harness import clean_environment

SHOW = [sys.executable, "-c", "import os; print(dict(os.environ))"]
INHERITED = "00-11111111111111111111111111111111-2222222222222222-01"
OF_USER = "00-33333333333333333333333333333333-4444444444444444-01"


def _shown(**options: Any) -> dict[str, str]:
    result = subprocess.run(SHOW, stdout=subprocess.PIPE, check=True, **options)
    shown: dict[str, str] = ast.literal_eval(result.stdout.decode())
    shown.pop("LC_CTYPE", None)  # Python's own
    return shown


def _traceparent(ended: Any) -> str:
    ended.one()
    (span,) = ended.telemetry.spans()
    flags = int(span.context.trace_flags)
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{flags:02x}"


class OnlyItems(Mapping[Any, Any]):
    def __init__(self, variables: dict[Any, Any]) -> None:
        self._variables = variables

    def __getitem__(self, name: Any) -> Any:
        return self._variables[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def test_an_inherited_environment_has_the_context_in_addition(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)
    monkeypatch.setenv("KEPT", "\udcff")  # not decodable
    with suppress_instrumentation():
        plain = _shown()  # not `os.environ`: readline sets variables that are only in C's environment
    shown = _shown()
    assert shown.pop("TRACEPARENT") == _traceparent(ended)
    assert shown == plain
    assert "TRACEPARENT" not in os.environ


_GRANDCHILDREN = """
import os, subprocess, sys
from opentelemetry.sdk.trace import TracerProvider
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
SubprocessInstrumentor().instrument(tracer_provider=TracerProvider())
{change}
subprocess.run(["/usr/bin/env"], {options}, check=True)
"""


def _grandchild(change: str = "", options: str = "") -> dict[str, str]:
    """Return the environment of a child of an instrumented program that inherited a context."""
    command = [sys.executable, "-c", _GRANDCHILDREN.format(change=change, options=options or "env=None")]
    environment = clean_environment(TRACEPARENT=INHERITED, TRACESTATE="inherited=1")
    with suppress_instrumentation():
        result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)


@pytest.mark.parametrize(
    "options",
    ["", "close_fds=False", "env={**os.environ}", "env={**os.environb}", "preexec_fn=lambda: None"],
)
def test_an_inherited_context_is_stale_and_replaced(options: str) -> None:
    shown = _grandchild(options=options)
    assert shown["TRACEPARENT"] not in (INHERITED, "")
    assert "TRACESTATE" not in shown


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ("os.environ['TRACEPARENT'] = '{0}'", ""),
        ("os.putenv('TRACEPARENT', '{0}')", ""),
        ("os.environ['TRACEPARENT'] = '{0}'", "close_fds=False"),
        ("os.environ['TRACEPARENT'] = '{0}'", "env=os.environ"),
        ("os.environ['TRACEPARENT'] = '{0}'", "env=dict(os.environ)"),
        ("os.environ['TRACEPARENT'] = '{0}'", "preexec_fn=lambda: None"),
        ("", "preexec_fn=lambda: os.putenv('TRACEPARENT', '{0}')"),
        ("", "env={{**os.environ, 'TRACEPARENT': '{0}'}}"),
    ],
)
def test_a_context_that_the_program_sets_is_kept(change: str, options: str) -> None:
    assert _grandchild(change.format(OF_USER), options.format(OF_USER))["TRACEPARENT"] == OF_USER


@pytest.mark.parametrize(
    "env",
    [{"A": "1"}, {b"A": b"1"}, {"A": b"1"}, OnlyItems({"A": "1"})],
    ids=["str", "bytes", "mixed", "not a dict"],
)
def test_an_environment_from_the_user_is_copied(ended: Any, env: Any) -> None:
    before = dict(env)
    shown = _shown(env=env)
    assert shown.pop("TRACEPARENT") == _traceparent(ended)
    assert shown == {"A": "1"}
    assert dict(env) == before


@pytest.mark.parametrize("name", ["TRACEPARENT", b"TRACEPARENT"], ids=["str", "bytes"])
def test_a_context_from_the_user_is_kept(ended: Any, name: Any) -> None:
    env = {name: INHERITED, "TRACESTATE": "inherited=1"}
    assert _shown(env=env) == {"TRACEPARENT": INHERITED, "TRACESTATE": "inherited=1"}
    assert ended.verdict()[0] == "OK"


def test_an_empty_environment_has_only_the_context(ended: Any) -> None:
    assert _shown(env={}) == {"TRACEPARENT": _traceparent(ended)}


def test_an_empty_environment_stays_empty_if_children_get_no_context(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_CHILDREN", "off")
    assert _shown(env={}) == {}
    assert ended.verdict()[0] == "OK"


@pytest.mark.parametrize("env", [["A=1"], {1: "A"}, {"A": None}], ids=["list", "int name", "None value"])
def test_an_invalid_environment_raises_the_same_error(ended: Any, env: Any) -> None:
    with pytest.raises((TypeError, AttributeError)) as caught:
        subprocess.Popen(["true"], env=env)
    with suppress_instrumentation(), pytest.raises(type(caught.value)) as plain:
        subprocess.Popen(["true"], env=env)
    assert str(caught.value) == str(plain.value)
    assert ended.verdict()[2] == "ie_supervisor_failure"


def test_children_get_what_putenv_sets(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANGED", "by os.environ")
    monkeypatch.setenv("REMOVED", "1")
    os.putenv("PUT", "1")
    os.putenv(b"CHANGED", b"by os.putenv")
    os.unsetenv("REMOVED")
    try:
        shown = _shown()
    finally:
        os.unsetenv("PUT")
    assert (shown["PUT"], shown["CHANGED"], shown.get("REMOVED")) == ("1", "by os.putenv", None)
    assert shown["TRACEPARENT"] == _traceparent(ended)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_each_child_gets_the_current_environment(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEASON", "spring")
    first = _shown()
    monkeypatch.setenv("SEASON", "summer")
    second = _shown()
    assert (first["SEASON"], second["SEASON"]) == ("spring", "summer")
    assert first["TRACEPARENT"] != second["TRACEPARENT"]
    assert len(ended.all(2)) == 2


def test_no_context_is_left_over_from_a_failed_spawn(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)
    with pytest.raises(ValueError, match="null byte"):
        subprocess.Popen(["true\0"])
    with suppress_instrumentation():
        assert "TRACEPARENT" not in _shown()
    assert ended.verdict()[0] == "IE"


@pytest.mark.skipif(
    not hasattr(subprocess, "_fork_exec") or hasattr(os, "POSIX_SPAWN_CLOSEFROM"),
    reason="Popen does not always use _fork_exec: the context is in its `env`",
)
def test_an_audit_hook_gets_the_environment_that_the_program_gave() -> None:
    code = """
import subprocess, sys
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
SubprocessInstrumentor().instrument()
sys.addaudithook(lambda name, args: print(args[3]) if name == "subprocess.Popen" else None)
subprocess.run(["true"], check=True)
"""
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "None\n"


def test_children_get_what_preexec_fn_sets_by_putenv(ended: Any) -> None:
    shown = _shown(preexec_fn=lambda: os.putenv("FRUIT", "apple"))
    assert shown["FRUIT"] == "apple"
    assert shown["TRACEPARENT"] == _traceparent(ended)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_an_error_in_preexec_fn(ended: Any) -> None:
    def broken() -> None:
        raise ValueError

    with pytest.raises(subprocess.SubprocessError, match="Exception occurred in preexec_fn"):
        subprocess.run(["true"], preexec_fn=broken, check=False)
    assert ended.verdict()[2] == "ie_supervisor_failure"


def test_posix_spawn(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def posix_spawn(*args: Any, **options: Any) -> int:
        calls.append(args)
        return original(*args, **options)

    original = os.posix_spawn
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_spawn", posix_spawn)
        shown = _shown(close_fds=False)
    assert len(calls) == 1
    assert shown["TRACEPARENT"] == _traceparent(ended)


def test_a_shell_started_by_asyncio(ended: Any) -> None:
    async def shell() -> bytes:
        process = await asyncio.create_subprocess_shell("echo $TRACEPARENT", stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        return output

    assert asyncio.run(shell()).decode().strip() == _traceparent(ended)


def test_the_current_span_is_the_parent(ended: Any) -> None:
    tracer = ended.telemetry.tracer_provider.get_tracer("user")
    with tracer.start_as_current_span("outer") as outer:
        subprocess.run(["true"], check=True)
    child, _ = ended.telemetry.spans()
    assert child.parent.span_id == outer.get_span_context().span_id
