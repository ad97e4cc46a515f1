"""The instrumentation's own file descriptors are out of the program's way."""

from __future__ import annotations

import ast
import os
import resource
import subprocess
import sys
from typing import Any

import pytest

from harness import clean_environment, lacking

_NUMBERS = """
import os, subprocess, sys
if "instrumented" in sys.argv:
    from sandscope_instrumentation_subprocess import SubprocessInstrumentor
    SubprocessInstrumentor().instrument()
for _ in range(3):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        print(process.stdin.fileno())
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    print(number)
"""


def test_the_program_gets_the_same_descriptor_numbers() -> None:
    """In a process of its own, where no other thread opens files."""
    plain, instrumented = (
        subprocess.run(
            [sys.executable, "-c", _NUMBERS, *arguments],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        for arguments in ([], ["instrumented"])
    )
    assert len(plain.stdout.splitlines()) == 6
    assert instrumented.stdout == plain.stdout


_NONE_LEFT = """
import asyncio, errno, os, resource, subprocess, sys
if "instrumented" in sys.argv:
    from sandscope_instrumentation_subprocess import SubprocessInstrumentor
    SubprocessInstrumentor().instrument()

async def start():
    process = await asyncio.create_subprocess_exec("true")
    return await process.wait()

def spawn():
    return os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)[1])

WAYS = {
    "run": lambda: subprocess.run(["true"]).returncode,
    "pipes": lambda: subprocess.run(["true"], capture_output=True).returncode,
    "popen": lambda: os.popen("true").close(),
    "system": lambda: os.system("exit 0"),
    "spawn": spawn,
    "spawnv": lambda: os.spawnv(os.P_WAIT, "/bin/true", ["true"]),
    "asyncio": lambda: loop.run_until_complete(start()),
}
loop = asyncio.new_event_loop()
loop.run_until_complete(start())
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
for spare in (0, 1, 2, 6):
    files = []
    try:
        while True:
            files.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
    for _ in range(spare):
        os.close(files.pop())
    for name, way in WAYS.items():
        try:
            result = way()
        except OSError as error:
            result = (type(error).__name__, error.errno, str(error))
        sys.stdout.write(f"{spare} {name} {result}\\n")
    for file in files:
        os.close(file)
sys.stdout.write(f"{[way() for way in WAYS.values()]}\\n")
"""


def test_a_program_without_descriptors_fails_in_the_same_way() -> None:
    """Where a call needs the last ones, telemetry goes without."""
    plain, instrumented = (
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _NONE_LEFT, *arguments],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        for arguments in ([], ["instrumented"])
    )
    assert "0 run ('OSError', 24, '[Errno 24] Too many open files')" in plain.stdout
    assert instrumented.stdout == plain.stdout
    assert instrumented.stderr == plain.stderr


_MANY = """
import os, resource, select, subprocess, sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
instrumentor = SubprocessInstrumentor()
instrumentor.instrument(tracer_provider=provider)

limit, count = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
children = []
for _ in range(count):
    process = subprocess.Popen(["/bin/sh", "-c", "read line; exit 3"], stdin=subprocess.PIPE)
    children.append(process)
select.select([], [process.stdin for process in children], [], 0)
own = []
for number in os.listdir("/proc/self/fd"):
    try:
        if "anon_inode" in os.readlink(f"/proc/self/fd/{number}"):
            own.append(int(number))
    except FileNotFoundError:
        pass  # that of the listing itself
for process in children:
    process.stdin.close()
assert {process.wait() for process in children} == {3}
codes = [span.attributes["process.exit.code"] for span in exporter.get_finished_spans()]
print({"own": sorted(own), "ended": codes.count(3)})
"""


def _many(limit: int, children: int) -> Any:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < limit:
        lacking(f"the hard limit of open files is too low: raise it to {limit}")
    result = subprocess.run(
        [sys.executable, "-c", _MANY, str(limit), str(children)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return ast.literal_eval(result.stdout)


@pytest.mark.parametrize(
    ("limit", "children"),
    [(256, 150), (64, 30), (30, 12)],
    ids=["more children than its share", "a low limit", "a very low limit"],
)
def test_a_quarter_of_the_limit_at_most_from_the_top(limit: int, children: int) -> None:
    """Children beyond the share are observed where the program waits."""
    result = _many(limit, children)
    assert len(result["own"]) == limit // 4
    assert min(result["own"]) >= limit - limit // 4
    assert result["ended"] == children


@pytest.mark.parametrize(
    ("limit", "children", "own", "lowest"),
    [(1024, 600, 256, 768), (4096, 100, 102, 1024)],
    ids=["the usual limit", "a high limit"],
)
def test_select_works_beside_many_children(limit: int, children: int, own: int, lowest: int) -> None:
    result = _many(limit, children)
    assert len(result["own"]) == own
    assert min(result["own"]) >= lowest
    assert result["ended"] == children


def test_a_wait_takes_over_the_descriptor_by_which_the_child_was_watched(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_pidfd(pid: int, *flags: int) -> int:
        opened.append(pid)
        return plain(pid, *flags)

    opened: list[int] = []
    plain = os.pidfd_open
    monkeypatch.setattr(os, "pidfd_open", open_pidfd)
    process = subprocess.Popen(["true"], stdout=subprocess.PIPE)
    process.communicate()
    assert opened.count(process.pid) == 1
    assert ended.verdict()[0] == "OK"
    assert ended.registry._watcher._pidfds == {}
