"""The verdict that follows from what the kernel counts for a cgroup, from timers and from limits."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from sandscope import Verdict
from sandscope_instrumentation_subprocess._child import SentSignal
from sandscope_instrumentation_subprocess._evidence import Evidence, Limits, MemoryPeaks, Zombie
from sandscope_instrumentation_subprocess._evidence._cgroup_counters import Counters
from sandscope_instrumentation_subprocess._evidence._cgroup_observation import CgroupEvidence
from sandscope_instrumentation_subprocess._verdicts import verdict_of

KILL_AFTER_TIMEOUT = (SentSignal(signal.SIGKILL, True),)
OK = ("OK", "guest", "normal_exit", None)
RE = ("RE", "guest", "re_nonzero_exit", None)
UNATTRIBUTED = ("SIG", "unknown", "sig_unattributed", None)
BY_PARENT = ("SIG", "host", "sig_sent_by_parent", None)
WALL = ("TLE", "host", "tle_wall_judge", "wall")
CPU = ("TLE", "kernel", "tle_cpu_kernel", "cpu")
CPU_OF_HOST = ("TLE", "host", "tle_cpu_judge", "cpu")
OOM = ("MLE", "kernel", "mle_kernel_oom", "memory")
PROCESSES = ("PLE", "kernel", "ple_cgroup_pids", "process")
MEMORY = ("MLE", "kernel", "mle_limit_breach", "memory")


def _cgroup(*, own: bool = True, exact: bool = True, **counts: int) -> dict[str, Any]:
    return {"cgroup": CgroupEvidence(own, exact, Counters(**counts))}


KILLED = {"signal": signal.SIGKILL}
BY_TIMER = (SentSignal(signal.SIGKILL, False, by_timer=True),)

CGROUPS: list[tuple[str, dict[str, Any], Any, str | None]] = [
    ("killed for lack of memory", {**KILLED, **_cgroup(oom_kills=1)}, OOM, None),
    ("no kill counted", {**KILLED, **_cgroup(oom_kills=0)}, UNATTRIBUTED, None),
    ("not seen before", {**KILLED, **_cgroup(exact=False, oom_kills=1)}, OOM, "inferred"),
    ("the program's cgroup", {**KILLED, **_cgroup(own=False, oom_kills=1)}, OOM, "inferred"),
    ("another process was killed", {"exit_code": 1, **_cgroup(oom_kills=1)}, OOM, "inferred"),
    ("another process of the program", {"exit_code": 1, **_cgroup(own=False, oom_kills=1)}, RE, None),
    ("a kill, and success", {"exit_code": 0, **_cgroup(oom_kills=1)}, OK, None),
    ("an old kernel", {**KILLED, **_cgroup(memory_limit_hits=3)}, OOM, "inferred"),
    (
        "the limit only made the kernel reclaim",
        {**KILLED, **_cgroup(oom_kills=0, memory_limit_hits=3)},
        UNATTRIBUTED,
        None,
    ),
    (
        "killed by the program",
        {**KILLED, **_cgroup(oom_kills=1), "sent_signals": (SentSignal(9, False),)},
        BY_PARENT,
        None,
    ),
    ("a shell's child", {"exit_code": 137, "program": "sh", **_cgroup(oom_kills=1)}, OOM, "told"),
    ("a refused process", {"exit_code": 2, **_cgroup(process_limit_hits=1)}, PROCESSES, "inferred"),
    (
        "a refused process, and an abort",
        {"signal": signal.SIGABRT, **_cgroup(process_limit_hits=1)},
        PROCESSES,
        "inferred",
    ),
    ("a refused process, and success", {"exit_code": 0, **_cgroup(process_limit_hits=1)}, OK, None),
    (
        "a refused process, and SIGTERM",
        {"signal": signal.SIGTERM, **_cgroup(process_limit_hits=1)},
        UNATTRIBUTED,
        None,
    ),
]


@pytest.mark.parametrize(
    ("evidence", "expected", "basis"), [c[1:] for c in CGROUPS], ids=[c[0] for c in CGROUPS]
)
def test_what_the_kernel_counts_for_a_cgroup(evidence: dict[str, Any], expected: Any, basis: Any) -> None:
    assert verdict_of(Evidence(**evidence)) == (Verdict(*expected), basis)


LIMITED_CPU = Zombie(user_time=1.4, system_time=0.1, limits=Limits(cpu=3, cpu_hard=9))

STOPPED: list[tuple[str, dict[str, Any], Any, str | None]] = [
    ("by a timer", {**KILLED, "sent_signals": BY_TIMER}, WALL, "inferred"),
    (
        "SIGTERM by a timer, caught",
        {"exit_code": 1, "sent_signals": (SentSignal(15, False, by_timer=True),)},
        WALL,
        "inferred",
    ),
    ("exit 0 after a timer", {"exit_code": 0, "sent_signals": BY_TIMER}, OK, None),
    (
        "past its CPU time",
        {**KILLED, "cpu_limit": 1, "zombie": LIMITED_CPU, "sent_signals": (SentSignal(9, False),)},
        CPU_OF_HOST,
        None,
    ),
    (
        "before its CPU time",
        {**KILLED, "cpu_limit": 2, "zombie": LIMITED_CPU, "sent_signals": (SentSignal(9, False),)},
        BY_PARENT,
        None,
    ),
    (
        "past its CPU time, by a timeout",
        {**KILLED, "cpu_limit": 1, "zombie": LIMITED_CPU, "sent_signals": KILL_AFTER_TIMEOUT},
        WALL,
        None,
    ),
    (
        "SIGXCPU, and the limit was seen before",
        {"signal": signal.SIGXCPU, "cpu_limit": 1, "zombie": LIMITED_CPU},
        CPU,
        None,
    ),
    (
        "near its limit of data",
        {"exit_code": 1, "memory": MemoryPeaks(data=95), "zombie": Zombie(limits=Limits(data=100))},
        MEMORY,
        "inferred",
    ),
    (
        "far from its limit of data",
        {"exit_code": 1, "memory": MemoryPeaks(data=50), "zombie": Zombie(limits=Limits(data=100))},
        RE,
        None,
    ),
    (
        "resident near its memory limit",
        {
            "signal": signal.SIGABRT,
            "memory": MemoryPeaks(resident=95),
            "zombie": Zombie(limits=Limits(memory=100)),
        },
        MEMORY,
        "inferred",
    ),
]


@pytest.mark.parametrize(
    ("evidence", "expected", "basis"), [c[1:] for c in STOPPED], ids=[c[0] for c in STOPPED]
)
def test_limits_and_the_program_s_own_reasons(evidence: dict[str, Any], expected: Any, basis: Any) -> None:
    assert verdict_of(Evidence(**evidence)) == (Verdict(*expected), basis)
