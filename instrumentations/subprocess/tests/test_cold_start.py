"""Cold starts: from spawn to exec, and until a Python child's interpreter is ready, as the child tells it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sandscope._child import _children
from sandscope_instrumentation_subprocess._languages import LANGUAGE
from sandscope_instrumentation_subprocess._measures._cold_start import PHASE
from sandscope_instrumentation_subprocess._starts._interpreter_ready import Answers

NAME = "sandbox.cold_start.duration"
READY = "interpreter_ready"
VARIABLE = _children.COLD_START_VARIABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children answer through /proc")


def counts(ended: Any) -> dict[tuple[str, str | None], float]:
    """Return the number of cold starts, by phase and language."""
    return {(point[PHASE], point.get(LANGUAGE)): n for point, n in ended.telemetry.points(NAME)}


def seconds(ended: Any, phase: str) -> float:
    """Return the sum of a phase's cold starts."""
    points = ended.telemetry.metrics()[NAME].data.data_points
    return sum(point.sum for point in points if point.attributes[PHASE] == phase)


@pytest.fixture
def instrumented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python children be instrumented, as those of a program under ``sandscope run``."""
    monkeypatch.setenv("PYTHONPATH", _children.FOLDER)


def test_exec_of_each_child_that_starts(ended: Any) -> None:
    subprocess.run(["true"], check=True)
    subprocess.run([sys.executable, "-c", ""], check=True)
    subprocess.run(["sh", "-c", "exit 1"], check=False, close_fds=False)
    with pytest.raises(FileNotFoundError):
        subprocess.run(["/no/such/program"], check=False)
    ended.all(4)
    assert counts(ended) == {("exec", None): 1, ("exec", "python"): 1, ("exec", "shell"): 1}
    assert 0 < seconds(ended, "exec") < 60


def test_exec_does_not_include_what_the_program_does(ended: Any) -> None:
    subprocess.run(["sleep", "0.5"], check=True)
    (span,) = ended.telemetry.spans()
    assert 0 < seconds(ended, "exec") < (span.end_time - span.start_time) / 1e9 - 0.4


@pytest.mark.usefixtures("instrumented")
def test_a_python_child_tells_when_its_interpreter_is_ready(ended: Any) -> None:
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"], check=True)
    (span,) = ended.telemetry.spans()
    assert counts(ended) == {("exec", "python"): 1, (READY, "python"): 1}
    assert seconds(ended, "exec") < seconds(ended, READY) < (span.end_time - span.start_time) / 1e9 - 0.4


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("how", ["inherited", "env", "bytes", "preexec_fn"])
def test_it_leaves_nothing_in_the_child(ended: Any, how: str) -> None:
    look = "import os; print(sorted(os.environ)); print(sorted(os.listdir('/proc/self/fd')))"
    options: dict[str, Any] = {
        "inherited": {},
        "env": {"env": dict(os.environ)},
        "bytes": {"env": dict(os.environb)},
        "preexec_fn": {"preexec_fn": lambda: None},
    }[how]
    command = [sys.executable, "-c", look]
    done = subprocess.run(command, capture_output=True, text=True, check=True, **options)
    names, descriptors = done.stdout.splitlines()
    assert VARIABLE not in names
    assert descriptors == "['0', '1', '2', '3']"
    ended.one()
    assert counts(ended)[READY, "python"] == 1


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-S", "-c", ""],
        [sys.executable, "-I", "-c", ""],
        ["sh", "-c", f"{sys.executable} -c 1"],
    ],
    ids=["no site", "isolated", "shell"],
)
def test_other_children_tell_nothing(ended: Any, command: list[str]) -> None:
    subprocess.run(command, check=True)
    ended.one()
    assert {phase for phase, _ in counts(ended)} == {"exec"}


@pytest.mark.parametrize("environment", [{}, {"PYTHONPATH": "/elsewhere"}, None])
def test_only_children_that_can_tell_are_asked(
    ended: Any, environment: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", _children.FOLDER if environment is not None else "")
    look = "import os; print(*os.environ)"
    command = [sys.executable, "-S", "-c", look]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert VARIABLE not in done.stdout
    assert "TRACEPARENT" in done.stdout
    ended.one()


@pytest.mark.usefixtures("instrumented")
def test_a_grandchild_is_not_taken_for_the_child(ended: Any) -> None:
    inner = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    subprocess.run([sys.executable, "-S", "-c", inner], check=True)
    ended.one()
    assert (READY, "python") not in counts(ended)


@pytest.mark.usefixtures("instrumented")
def test_children_on_many_threads(ended: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: subprocess.run([sys.executable, "-c", ""], check=True), range(12)))
    ended.all(12)
    assert counts(ended) == {("exec", "python"): 12, (READY, "python"): 12}


@pytest.mark.usefixtures("instrumented")
def test_a_forked_process_asks_its_own_children(
    ended: Any, in_fork: Callable[[Callable[[], None]], None]
) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)
    ended.one()

    def child() -> None:
        assert not any("pipe:" in target for target in _descriptors().values())
        subprocess.run([sys.executable, "-c", ""], check=True)

    in_fork(child)


@pytest.mark.usefixtures("instrumented")
def test_a_reused_descriptor_is_not_touched(ended: Any, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)
    ended.one()
    (number,) = [number for number, target in _descriptors().items() if "pipe:" in target]
    file = tmp_path / "file"
    with file.open("w+") as opened:
        os.dup2(opened.fileno(), number)
        subprocess.run([sys.executable, "-c", ""], check=True)
        ended.all(2)
        assert counts(ended) == {("exec", "python"): 2, (READY, "python"): 1}
    ended._instrumentor._cold_starts.close()
    assert os.fstat(number).st_ino == file.stat().st_ino
    os.close(number)
    assert file.read_text() == ""


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize(
    "said",
    [
        b"x" * 100_000,
        b"0 1\n",
        b"\xff \xff\n",
        b"{token} 99999999999999999999\n",
        b"{token} -1\n",
        b"{token}",
    ],
)
def test_what_children_may_say_instead(said: bytes) -> None:
    answers = Answers()
    asked = answers.ask()
    assert asked is not None
    file, _, token = asked.variables[VARIABLE].split()
    descriptor = os.open(file, os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        os.write(descriptor, said.replace(b"{token}", token.encode()))
    os.close(descriptor)
    assert answers.take(token) is None
    assert answers.take("another") is None
    answers.close()


@pytest.mark.usefixtures("instrumented")
def test_a_time_from_before_or_after_the_childs_life_is_refused(ended: Any) -> None:
    lie = f"""
import os, sys
question = open("/proc/self/environ").read().split("{VARIABLE}=")[1].split(chr(0))[0]
file, _, token = question.split()
os.write(os.open(file, os.O_WRONLY), (token + " " + sys.argv[1] + chr(10)).encode())
"""
    for time_told in ("1", str(time.perf_counter_ns() + 10**15)):
        command = [sys.executable, "-c", lie, time_told]
        subprocess.run(command, check=True)
    ended.all(2)
    assert {phase for phase, _ in counts(ended)} == {"exec"}


def _descriptors() -> dict[int, str]:
    """Return what the instrumentation's own descriptors, above those of the program, are links to."""
    found: dict[int, str] = {}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found[int(entry.name)] = str(entry.readlink())
    return {number: target for number, target in found.items() if number > 700}
