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
FIRST_CHILD = "import subprocess; subprocess.run(['true'])\n"
FIRST_USE = """
import subprocess
green = [spawn(lambda: subprocess.run(["true"]).returncode) for _ in range(10)]
print([thread.%s() for thread in green])
"""


def _run(program: str, way: tuple[str, ...], package: str, counts: dict[str, int]) -> list[str]:
    """Check the program's output and what it sent, and return the lines that it wrote to stderr."""
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            PYTHONWARNINGS="ignore",
            SANDSCOPE_EXIT_TIMEOUT="60",
            **environment_with(package),
        )
        run = run_program(program, way=way, environment=environment)
    assert (run.returncode, run.stdout) == (0, OUTPUT), run.stderr
    assert executions(sink) == counts, run.stderr
    assert len(sink.names()) == execution_logs(sink) == sum(counts.values())
    # At the exit, green threads take turns with the threads that the SDK started before they were patched.
    return [line for line in run.stderr.splitlines() if "Waiting up to" not in line]


@pytest.mark.parametrize(
    ("program", "way"),
    [
        pytest.param(GEVENT + PREPARE, STOCK, id="wrapper"),
        pytest.param(AUTO + GEVENT + PREPARE, (), id="auto-first"),
        pytest.param(GEVENT + AUTO + PREPARE, (), id="auto-last"),
    ],
)
def test_gevent(program: str, way: tuple[str, ...]) -> None:
    assert _run(program + WORK % "get", way, "gevent==26.9.0", {"wasmtime": 10}) == [OTHER_POPEN]


def test_gevent_patches_after_the_first_child() -> None:
    program = AUTO + FIRST_CHILD + GEVENT + PREPARE + WORK % "get"
    said = _run(program, (), "gevent==26.9.0", {"subprocess": 1, "wasmtime": 10})
    assert said == [NOT_PATCHED.format("gevent.subprocess")]


def test_what_threads_need_is_imported_before_gevent_patches() -> None:
    """Otherwise the threads of the SDK import it, under import locks that gevent has replaced, and may deadlock."""
    show = "import gevent, sys; print('value' in vars(gevent.config.settings['resolver']))\n"
    program = AUTO + FIRST_CHILD + "from gevent import monkey\n" + show + "monkey.patch_all()\n" + show
    environment = clean_environment(
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        **environment_with("gevent==26.9.0"),
    )
    run = run_program(program, way=(), environment=environment)
    assert (run.returncode, run.stdout) == (0, "False\nTrue\n"), run.stderr


@pytest.mark.parametrize(
    ("program", "way"),
    [
        pytest.param(EVENTLET + PREPARE, STOCK, id="wrapper"),
        pytest.param(EVENTLET + AUTO + PREPARE, (), id="auto-last"),
    ],
)
def test_eventlet(program: str, way: tuple[str, ...]) -> None:
    said = _run(program + WORK % "wait", way, "eventlet==0.41.3", {"subprocess": 12, "wasmtime": 10})
    assert [line for line in said if "RLock(s) were not greened" not in line] == []


@pytest.mark.parametrize(
    ("program", "package", "counts"),
    [
        pytest.param(AUTO + GEVENT + FIRST_USE % "get", "gevent==26.9.0", {}, id="gevent"),
        pytest.param(
            AUTO + EVENTLET + FIRST_USE % "wait", "eventlet==0.41.3", {"subprocess": 10}, id="eventlet"
        ),
    ],
)
def test_green_threads_wait_for_the_one_that_uses_a_runtime_first(
    program: str, package: str, counts: dict[str, int]
) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, PYTHONWARNINGS="ignore", **environment_with(package)
        )
        run = run_program(program, way=(), environment=environment)
    assert (run.returncode, run.stdout) == (0, f"{[0] * 10}\n"), run.stderr
    assert executions(sink) == counts


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
