"""Abuse patterns: only with thresholds. The children are harmless: they only have more than a low threshold."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

Python = Callable[[str], list[str]]
low_thresholds = pytest.mark.parametrize("settings", [{"abuse_processes": 6, "abuse_descriptors": 60}])
SIX_PROCESSES = "for i in 1 2 3 4 5 6; do sleep 0.5 & done; wait"
DESCRIPTORS = "import os, time; kept = [os.dup(0) for _ in range(80)]; time.sleep(0.5)"


def counted(ended: Any) -> dict[str, float]:
    """Return the number of patterns by name."""
    return {a["sandbox.abuse.pattern"]: n for a, n in ended.telemetry.points("sandbox.abuse.patterns")}


def incidents(ended: Any) -> list[dict[str, Any]]:
    """Return the attributes of the log records."""
    logs = [log.log_record for log in ended.telemetry.logs()]
    return [dict(log.attributes) for log in logs if log.event_name == "sandbox.abuse"]


def test_without_thresholds_nothing_is_abuse(ended: Any, python: Python) -> None:
    subprocess.run(python(DESCRIPTORS), check=True)
    assert ended.verdict()[0] == "OK"
    assert counted(ended) == {}


@low_thresholds
@pytest.mark.parametrize("code", [0, 3])
def test_a_fork_bomb_is_abuse_whatever_the_child_says_of_itself(ended: Any, code: int) -> None:
    subprocess.run(["/bin/sh", "-c", f"{SIX_PROCESSES}; exit {code}"], check=False)
    assert ended.verdict() == ("ABUSE", "guest", "abuse_fork_bomb", None)
    assert ended.one()["process.exit.code"] == code
    assert counted(ended) == {"fork_bomb": 1}
    (incident,) = incidents(ended)
    assert incident["sandbox.resource.usage"] >= incident["sandbox.resource.limit"] == 6
    assert incident["process.executable.name"] == "sh"


@low_thresholds
def test_open_descriptors(ended: Any, python: Python) -> None:
    subprocess.run(python(DESCRIPTORS), check=True)
    assert ended.verdict() == ("ABUSE", "guest", "abuse_fd_exhaustion", None)
    assert counted(ended) == {"fd_exhaustion": 1}


@low_thresholds
def test_a_child_below_the_thresholds(ended: Any) -> None:
    subprocess.run(["/bin/sh", "-c", "sleep 0.3 & sleep 0.3 & wait"], check=True)
    assert ended.verdict()[0] == "OK"
    assert counted(ended) == {}


@low_thresholds
def test_a_limit_explains_more_than_abuse(ended: Any) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["/bin/sh", "-c", f"{SIX_PROCESSES}; sleep 600"], timeout=1, check=False)
    assert ended.verdict() == ("TLE", "host", "tle_wall_judge", "wall")
    assert counted(ended) == {"fork_bomb": 1}


@pytest.mark.parametrize("settings", [{"abuse_processes": 6}])
def test_the_kernel_counts_processes_that_are_gone_at_once(
    ended: Any, python: Python, own_cgroup: Any
) -> None:
    """Six short processes, between two samples: the cgroup's peak is what is left of them."""
    own_cgroup.limit(50)
    code = (
        "import os\n"
        "r, w = os.pipe()\n"
        "for _ in range(6):\n"
        "    if not os.fork(): os.close(w); os.read(r, 1); os._exit(0)\n"
        "os.close(w)\n"
        "for _ in range(6): os.wait()"
    )
    subprocess.run(python(code), preexec_fn=own_cgroup.enter, check=True)
    if not (own_cgroup.folder / "pids.peak").exists():
        pytest.skip("pids.peak needs Linux 6.1")
    assert ended.verdict() == ("ABUSE", "guest", "abuse_fork_bomb", None)


@low_thresholds
def test_a_child_that_nobody_waits_for(ended: Any) -> None:
    child = subprocess.Popen(["/bin/sh", "-c", SIX_PROCESSES])
    assert ended.verdict() == ("ABUSE", "guest", "abuse_fork_bomb", None)
    child.wait()
