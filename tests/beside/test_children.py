"""Libraries that start children without ``Popen``: each child is one execution, and nothing else changes."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from beside._executions import AUTO
from harness import STOCK, OtlpSink, clean_environment, run_program
from harness._packages import environment_with

if sys.platform == "win32":
    pytest.skip("these libraries need fork", allow_module_level=True)

CHILD = 'echo "$TRACEPARENT"; exit 3'
LIBRARIES = {
    "sh": (
        "sh==2.4.0",
        f"""
import sh
try:
    sh.sh("-c", '''{CHILD}''')
except sh.ErrorReturnCode_3 as error:
    print(error.stdout.decode().strip())
""",
    ),
    "sh in the background": (
        "sh==2.4.0",
        f"""
import sh
command = sh.sh("-c", '''{CHILD}''', _bg=True, _bg_exc=False, _ok_code=[3])
command.wait()
print(str(command).strip())
""",
    ),
    "pexpect": (
        "pexpect==4.9.0",
        f"""
import pexpect
child = pexpect.spawn("sh", ["-c", '''{CHILD}'''])
child.expect(pexpect.EOF)
print(child.before.decode().strip())
child.close()
assert child.exitstatus == 3, child
""",
    ),
    "ptyprocess with an environment": (
        "ptyprocess==0.7.0",
        f"""
import ptyprocess
child = ptyprocess.PtyProcessUnicode.spawn(["sh", "-c", '''{CHILD}'''], env={{"PATH": "/bin"}})
print(child.readline().strip())
assert child.wait() == 3
""",
    ),
    "invoke": (
        "invoke==3.0.3",
        f"""
import invoke
result = invoke.run('''{CHILD}''', pty=True, hide=True, warn=True, shell="/bin/sh", in_stream=False)
assert result.exited == 3, result
print(result.stdout.strip())
""",
    ),
    "uvloop": (
        "uvloop==0.22.1",
        f"""
import asyncio, uvloop
async def main():
    child = await asyncio.create_subprocess_exec("sh", "-c", '''{CHILD}''', stdout=asyncio.subprocess.PIPE)
    print((await child.communicate())[0].decode().strip())
    assert child.returncode == 3
uvloop.run(main())
""",
    ),
    "uvloop with a shell": (
        "uvloop==0.22.1",
        f"""
import asyncio, uvloop
async def main():
    child = await asyncio.create_subprocess_shell('''{CHILD}''', stdout=asyncio.subprocess.PIPE)
    print((await child.communicate())[0].decode().strip())
    assert child.returncode == 3
uvloop.run(main())
""",
    ),
}
UVLOOP = """
import asyncio, signal, uvloop
async def main():
    killed = await asyncio.create_subprocess_exec("sleep", "600")
    killed.kill()
    assert await killed.wait() == -signal.SIGKILL
    limited = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        await asyncio.wait_for(limited.wait(), 1)
    except asyncio.TimeoutError:
        limited.terminate()
    assert await limited.wait() == -signal.SIGTERM
    try:
        await asyncio.create_subprocess_exec("/no/such/tool")
    except FileNotFoundError as error:
        assert str(error) == "[Errno 2] No such file or directory: '/no/such/tool'" or not error.filename, error
    own = await asyncio.create_subprocess_exec("sh", "-c", 'test "$OWN$TRACEPARENT" = 1own',
        env={"PATH": "/bin", "OWN": "1", "TRACEPARENT": "own"})
    assert await own.wait() == 0
uvloop.run(main())
"""


def _attributes(span: Any) -> dict[str, Any]:
    return {
        each.key: each.value.string_value or each.value.int_value or each.value.bool_value
        for each in span.attributes
    }


@pytest.mark.parametrize("way", ["auto", "stock"])
@pytest.mark.parametrize(("package", "program"), LIBRARIES.values(), ids=LIBRARIES)
def test_a_child_is_one_execution_and_continues_the_trace(package: str, program: str, way: str) -> None:
    packages = environment_with(package)
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **packages)
        source = AUTO + program if way == "auto" else program
        run = run_program(source, way=() if way == "auto" else STOCK, environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert sink.names() == ["sh"]
    (span,) = sink.spans
    assert run.stdout.startswith(f"00-{span.trace_id.hex()}-{span.span_id.hex()}-")
    attributes = _attributes(span)
    assert attributes["process.exit.code"] == 3
    assert attributes["sandbox.verdict.cause"] == "re_nonzero_exit"
    assert sink.total("sandbox.executions") == 1


def test_how_children_of_uvloop_end() -> None:
    packages = environment_with("uvloop==0.22.1")
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **packages)
        run = run_program(AUTO + UVLOOP, way=(), environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    causes = {(span.name, _attributes(span)["sandbox.verdict.cause"]) for span in sink.spans}
    assert causes == {
        ("sleep", "sig_sent_by_parent"),
        ("sleep", "tle_wall_judge"),
        ("tool", "ie_supervisor_failure"),
        ("sh", "normal_exit"),
    }
    assert sink.total("sandbox.executions") == 4
