"""Abuse patterns: only with thresholds. The children are harmless: they only have more than a low threshold."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from harness import wait_until

Python = Callable[[str], list[str]]
low_thresholds = pytest.mark.parametrize("settings", [{"abuse_processes": 6, "abuse_descriptors": 60}])
SIX_PROCESSES = "exec 3<&0; for i in 1 2 3 4 5 6; do cat <&3 & done; wait"
DESCRIPTORS = "import os, sys; kept = [os.dup(0) for _ in range(80)]; sys.stdin.read()"


def run_until_found(ended: Any, gate: Any, command: list[str]) -> subprocess.Popen[bytes]:
    """Run a child until a pattern was found: how soon that is depends on the machine."""
    child = subprocess.Popen(command, stdin=gate.input)
    samples = ended.registry.get(child.pid).samples
    assert wait_until(lambda: samples._abuse.patterns)
    gate.open()
    return child


def counted(ended: Any) -> dict[str, float]:
    """Return the number of patterns by name."""
    return {a["sandbox.abuse.pattern"]: n for a, n in ended.telemetry.points("sandbox.abuse.patterns")}


def incidents(ended: Any) -> list[dict[str, Any]]:
    """Return the attributes of the log records."""
    logs = [log.log_record for log in ended.telemetry.logs()]
    return [dict(log.attributes) for log in logs if log.event_name == "sandbox.abuse"]


def test_without_thresholds_nothing_is_abuse(ended: Any, python: Python) -> None:
    subprocess.run(python(DESCRIPTORS), stdin=subprocess.DEVNULL, check=True)
    assert ended.verdict()[0] == "OK"
    assert counted(ended) == {}


@low_thresholds
@pytest.mark.parametrize("code", [0, 3])
def test_a_fork_bomb_is_abuse_whatever_the_child_says_of_itself(ended: Any, gate: Any, code: int) -> None:
    child = run_until_found(ended, gate, ["/bin/sh", "-c", f"{SIX_PROCESSES}; exit {code}"])
    assert child.wait() == code
    assert ended.verdict() == ("ABUSE", "guest", "abuse_fork_bomb", None)
    assert ended.one()["process.exit.code"] == code
    assert counted(ended) == {"fork_bomb": 1}
    (incident,) = incidents(ended)
    assert incident["sandbox.resource.usage"] >= incident["sandbox.resource.limit"] == 6
    assert incident["process.executable.name"] == "sh"


@low_thresholds
def test_open_descriptors(ended: Any, gate: Any, python: Python) -> None:
    assert run_until_found(ended, gate, python(DESCRIPTORS)).wait() == 0
    assert ended.verdict() == ("ABUSE", "guest", "abuse_fd_exhaustion", None)
    assert counted(ended) == {"fd_exhaustion": 1}


@low_thresholds
def test_a_child_below_the_thresholds(ended: Any) -> None:
    subprocess.run(["/bin/sh", "-c", "sleep 0.3 & sleep 0.3 & wait"], check=True)
    assert ended.verdict()[0] == "OK"
    assert counted(ended) == {}


@low_thresholds
def test_a_limit_explains_more_than_abuse(ended: Any, gate: Any) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["/bin/sh", "-c", SIX_PROCESSES], stdin=gate.input, timeout=3, check=False)
    assert ended.verdict() == ("TLE", "host", "tle_wall_judge", "wall")
    assert counted(ended) == {"fork_bomb": 1}


@pytest.mark.parametrize("settings", [{"abuse_processes": 6}])
def test_the_kernel_counts_processes_that_are_gone_at_once(
    ended: Any, python: Python, own_cgroup: Any
) -> None:
    """Six short processes, between two samples: the cgroup's peak is what is left of them."""
    own_cgroup.limit(50)
    code = (
        "import os, time\n"
        "time.sleep(0.3)\n"  # the peak is read before: it may be that of earlier processes
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
def test_a_child_that_nobody_waits_for(ended: Any, gate: Any) -> None:
    child = run_until_found(ended, gate, ["/bin/sh", "-c", SIX_PROCESSES])
    assert ended.verdict() == ("ABUSE", "guest", "abuse_fork_bomb", None)
    child.wait()
