"""A subinterpreter is not instrumented: one message says so, and the program continues. Otherwise, Python aborts."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from harness import SANDSCOPE_RUN, STOCK, clean_environment, run_program

MODULE = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
KINDS = ["legacy", "isolated"] if sys.version_info >= (3, 13) else [False, True]
"""The argument of Python's function that decides how much is shared with the main interpreter."""
PROGRAM = f"""
import {MODULE} as interpreters, subprocess
inside = interpreters.create(%s)
interpreters.run_string(inside, '''%s''')
interpreters.destroy(inside)
subprocess.run(["true"], check=True)
print("the program continues")
"""
BY_HAND = """
from sandscope import SandscopeError
try:
    %s
except SandscopeError as error:
    print(error)
"""
INSTRUMENTOR = (
    "from sandscope_instrumentation_subprocess import SubprocessInstrumentor as I; I().instrument()"
)

if find_spec(MODULE) is None:
    pytest.skip("this Python has no subinterpreters", allow_module_level=True)


def _create(kind: object) -> str:
    return repr(kind) if isinstance(kind, str) else f"isolated={kind}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [STOCK, SANDSCOPE_RUN], ids=["opentelemetry-instrument", "sandscope run"])
def test_a_program_that_uses_one_continues_and_is_instrumented(way: tuple[str, ...], kind: object) -> None:
    environment = clean_environment(
        OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none"
    )
    run = run_program(PROGRAM % (_create(kind), "pass"), way=way, environment=environment)
    assert run.returncode == 0, run.stderr
    assert "the program continues" in run.stdout
    assert '"sandbox.runtime": "subprocess"' in run.stdout, "the main interpreter is instrumented"
    assert run.stderr.count("Cannot instrument a subinterpreter") == 1


@pytest.mark.parametrize(
    "kind",
    # Python 3.12 aborts if an isolated subinterpreter has imported asyncio, as wrapt does.
    KINDS[:1] if sys.version_info[:2] == (3, 12) else KINDS,
)
@pytest.mark.parametrize("start", ["import sandscope.auto", INSTRUMENTOR], ids=["auto", "instrumentor"])
def test_instrumenting_one_is_an_error(start: str, kind: object) -> None:
    run = run_program(PROGRAM % (_create(kind), BY_HAND % start), way=())
    assert (run.returncode, run.stderr) == (0, "")
    message, rest = run.stdout.splitlines()
    assert message.startswith("Cannot instrument a subinterpreter: ")
    assert rest == "the program continues"
