"""Whether anything is left of a child, and how long it takes until the program has reaped it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness import wait_until

Python = Callable[[str], list[str]]
LEFT = "import subprocess; subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL)"


def outcomes(ended: Any) -> dict[str, int]:
    """Return the number of cleanups by outcome."""
    points = ended.telemetry.points("sandbox.cleanups")
    assert {attributes["sandbox.operation"] for attributes, _ in points} <= {"process"}
    return {attributes["sandbox.cleanup.outcome"]: value for attributes, value in points}


def durations(ended: Any) -> dict[str, Any]:
    """Return the measured durations by outcome."""
    metric = ended.telemetry.metrics().get("sandbox.cleanup.duration")
    points = [] if metric is None else metric.data.data_points
    return {point.attributes["sandbox.cleanup.outcome"]: point for point in points}


def incidents(ended: Any) -> list[dict[str, Any]]:
    """Return the attributes of the log records about cleanups."""
    records = [log.log_record for log in ended.telemetry.logs()]
    spans = {span.context.span_id for span in ended.telemetry.spans()}
    found = [record for record in records if record.event_name == "sandbox.cleanup"]
    assert all(record.span_id in spans and record.severity_text == "WARN" for record in found)
    return [dict(record.attributes) for record in found]


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("options", [{}, {"start_new_session": True}, {"stdout": subprocess.PIPE}])
def test_a_child_that_was_reaped_is_a_success(ended: Any, code: int, options: dict[str, Any]) -> None:
    subprocess.run(["/bin/sh", "-c", f"exit {code}"], check=False, **options)
    ended.one()
    assert outcomes(ended) == {"success": 1}
    assert durations(ended)["success"].count == 1
    assert incidents(ended) == []


def test_processes_left_in_the_childs_own_group_are_partial(ended: Any, python: Python) -> None:
    child = subprocess.Popen(python(LEFT), start_new_session=True)
    child.wait()
    try:
        wait_until(lambda: incidents(ended) != [])
        assert outcomes(ended) == {"partial": 1}
    finally:
        os.killpg(child.pid, signal.SIGKILL)
    (incident,) = incidents(ended)
    assert incident["sandbox.cleanup.remains"] == "processes"
    assert incident["sandbox.cleanup.processes"] == 1
    assert incident["process.executable.name"] == os.path.basename(sys.executable)  # noqa: PTH119


def test_a_group_that_is_killed_together_is_a_success(ended: Any, python: Python) -> None:
    code = f"{LEFT}; import sys; print(flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        python(code), start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    wait_until(lambda: outcomes(ended) == {"success": 1})


def test_processes_left_in_the_programs_group_are_not_looked_for(ended: Any, python: Python) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL).pid)"
    left = int(subprocess.check_output(python(code)))
    try:
        ended.one()
        assert outcomes(ended) == {"success": 1}
    finally:
        os.kill(left, signal.SIGKILL)


def test_a_late_reap_is_a_success_with_its_duration(ended: Any) -> None:
    child = subprocess.Popen(["true"])
    ended.one()  # nobody has waited
    assert outcomes(ended) == {}
    child.wait()
    assert outcomes(ended) == {"success": 1}
    assert durations(ended)["success"].sum >= 0.2


def test_a_child_that_other_code_has_reaped_is_partial(ended: Any) -> None:
    import ctypes

    child = subprocess.Popen(["true"])
    ctypes.CDLL(None).waitpid(child.pid, None, 0)
    child.wait()
    wait_until(lambda: incidents(ended) != [])
    assert outcomes(ended) == {"partial": 1}
    assert durations(ended) == {}
    assert [each["sandbox.cleanup.remains"] for each in incidents(ended)] == ["unknown"]


def test_without_instrumentation_nothing_is_known(ended: Any) -> None:
    child = subprocess.Popen(["sleep", "600"])
    ended.registry.close()
    child.kill()
    child.wait()
    assert ended.verdict()[2] == "ie_still_running"
    assert outcomes(ended) == {}


@pytest.mark.parametrize("command", ["sleep", "true"])
def test_a_child_that_is_not_reaped_when_the_program_ends_is_a_failure(ended: Any, command: str) -> None:
    child = subprocess.Popen([command, "600"])
    if command == "true":
        ended.one()
    ended.registry.close(at_exit=True)
    assert outcomes(ended) == {"failure": 1}
    assert [each["sandbox.cleanup.remains"] for each in incidents(ended)] == ["child"]
    child.kill()
    child.wait()


def test_a_forked_process_does_not_answer_for_its_parents_children(
    ended: Any, in_fork: Callable[[Callable[[], None]], None]
) -> None:
    child = subprocess.Popen(["true"])
    ended.one()

    def function() -> None:
        ended.registry.close(at_exit=True)
        assert outcomes(ended) == {}

    in_fork(function)
    child.wait()
    assert outcomes(ended) == {"success": 1}


def test_one_cleanup_a_child_with_many_threads(ended: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def start(number: int) -> None:
        child = subprocess.Popen(["true"], start_new_session=bool(number % 2))
        if number % 3 == 0:
            time.sleep(0.24 + number % 5 / 100)  # about as long as the watcher waits
        child.wait()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(60)))
    ended.all(60)
    wait_until(lambda: sum(outcomes(ended).values()) >= 60)
    assert outcomes(ended) == {"success": 60}


LEFT_OUTSIDE_THE_GROUP = (
    "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=-3).pid)"
)


def test_processes_left_in_the_childs_own_cgroup_are_partial(
    ended: Any, python: Python, own_cgroup: Any
) -> None:
    done = subprocess.run(
        python(LEFT_OUTSIDE_THE_GROUP),
        preexec_fn=own_cgroup.enter,
        stdout=subprocess.PIPE,
        check=True,
    )
    try:
        wait_until(lambda: incidents(ended) != [])
        assert outcomes(ended) == {"partial": 1}
        assert incidents(ended)[0]["sandbox.cleanup.processes"] == 1
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_another_child_in_the_same_cgroup_is_not_left(ended: Any, own_cgroup: Any) -> None:
    with subprocess.Popen(["sleep", "600"], preexec_fn=own_cgroup.enter) as other:  # noqa: PLW1509
        subprocess.run(["true"], preexec_fn=own_cgroup.enter, check=True)
        ended.one()
        assert outcomes(ended) == {"success": 1}
        other.kill()
    wait_until(lambda: outcomes(ended) == {"success": 2})


def test_a_cgroup_that_the_program_removes_at_once(ended: Any, own_cgroup: Any) -> None:
    folder = own_cgroup.folder / "inside"
    folder.mkdir()

    def enter() -> None:
        (folder / "cgroup.procs").write_text("0")

    with subprocess.Popen(["true"], preexec_fn=enter):  # noqa: PLW1509
        pass
    folder.rmdir()
    ended.one()
    assert outcomes(ended) == {"success": 1}
