"""In programs of gevent and eventlet, whenever they patch threads: never a hang, and nothing runs twice.

gevent forks for each subprocess. If the child then started a thread, it would run the parent's other green threads.
"""

from __future__ import annotations

import pytest

from beside._executions import AUTO, PREPARE, execution_logs, executions
from harness import STOCK, OtlpSink, clean_environment, run_program
from harness._packages import environment_with

GEVENT = "from gevent import monkey, sleep, spawn; monkey.patch_all()\n"
EVENTLET = """
import warnings
warnings.simplefilter("ignore")
import eventlet
from eventlet import sleep, spawn
eventlet.monkey_patch()
"""
WORK = """
def work(number):
    text = subprocess.run(["echo", str(number)], capture_output=True, text=True).stdout.strip()
    sleep(0.01)
    call(store)
    return text
green = [spawn(work, number) for number in range(10)]
print([thread.%s() for thread in green])
ticks = []
def tick():
    while True:
        sleep(0.01)
        ticks.append(None)
spawn(tick)
subprocess.run(["sleep", "0.5"])
print(len(ticks) > 5)
try:
    subprocess.run(["sleep", "60"], timeout=0.3)
except subprocess.TimeoutExpired as error:
    print(error.cmd)
"""
OUTPUT = f"{[str(number) for number in range(10)]}\nTrue\n['sleep', '60']\n"
NOT_PATCHED = "Children that {} starts are not recorded: its Popen is not patched."
OTHER_POPEN = (
    "subprocess is not instrumented: <class 'gevent.subprocess.Popen'> is not the standard library's Popen."
)
RECORDED = {"subprocess": 12, "wasmtime": 10}
NOT_RECORDED = {"wasmtime": 10}


def _run(program: str, way: tuple[str, ...], package: str, counts: dict[str, int]) -> list[str]:
    """Check the program's output and what it sent, and return the lines that it wrote to stderr."""
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, PYTHONWARNINGS="ignore", **environment_with(package)
        )
        run = run_program(program, way=way, environment=environment)
    assert (run.returncode, run.stdout) == (0, OUTPUT), run.stderr
    assert executions(sink) == counts
    assert len(sink.names()) == execution_logs(sink) == sum(counts.values())
    return run.stderr.splitlines()


@pytest.mark.parametrize(
    ("program", "way", "line"),
    [
        pytest.param(GEVENT + PREPARE, STOCK, NOT_PATCHED.format("gevent.subprocess"), id="wrapper"),
        pytest.param(AUTO + GEVENT + PREPARE, (), NOT_PATCHED.format("gevent.subprocess"), id="auto-first"),
        pytest.param(GEVENT + AUTO + PREPARE, (), OTHER_POPEN, id="auto-last"),
    ],
)
def test_gevent(program: str, way: tuple[str, ...], line: str) -> None:
    assert _run(program + WORK % "get", way, "gevent==26.9.0", NOT_RECORDED) == [line]


def test_eventlet_patches_after_sandscope() -> None:
    said = _run(EVENTLET + PREPARE + WORK % "wait", STOCK, "eventlet==0.41.3", NOT_RECORDED)
    assert [line for line in said if "RLock(s) were not greened" not in line] == [
        NOT_PATCHED.format("eventlet.green.subprocess")
    ]


def test_eventlet_patches_before_sandscope() -> None:
    program = EVENTLET + AUTO + PREPARE + WORK % "wait"
    assert _run(program, (), "eventlet==0.41.3", RECORDED) == []


@pytest.mark.parametrize(
    ("program", "package"),
    [
        pytest.param(AUTO + GEVENT, "gevent==26.9.0", id="gevent"),
        pytest.param(EVENTLET + AUTO, "eventlet==0.41.3", id="eventlet"),
    ],
)
def test_a_collector_that_does_not_answer_delays_the_exit_only(program: str, package: str) -> None:
    with OtlpSink(delay=120) as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            PYTHONWARNINGS="ignore",
            SANDSCOPE_EXIT_TIMEOUT="0.5",
            **environment_with(package),
        )
        run = run_program(program + PREPARE + "call(store)\nprint('done')\n", way=(), environment=environment)
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr
    assert "Traceback" not in run.stderr
