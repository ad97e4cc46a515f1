"""The verdict that follows from the evidence, case by case."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from sandscope import Verdict
from sandscope_instrumentation_subprocess._child import SentSignal
from sandscope_instrumentation_subprocess._evidence import Evidence, Limits, MemoryPeaks, Zombie
from sandscope_instrumentation_subprocess._evidence._cgroup_counters import Counters
from sandscope_instrumentation_subprocess._evidence._cgroup_observation import CgroupEvidence
from sandscope_instrumentation_subprocess._evidence._isolate_meta import IsolateMeta
from sandscope_instrumentation_subprocess._verdicts import verdict_of

MIB = 1 << 20
KILL_AFTER_TIMEOUT = (SentSignal(signal.SIGKILL, True),)
OK = ("OK", "guest", "normal_exit", None)
RE = ("RE", "guest", "re_nonzero_exit", None)
FAULT = ("SIG", "guest", "re_fatal_signal", None)
UNATTRIBUTED = ("SIG", "unknown", "sig_unattributed", None)
BY_PARENT = ("SIG", "host", "sig_sent_by_parent", None)
WALL = ("TLE", "host", "tle_wall_judge", "wall")
CPU = ("TLE", "kernel", "tle_cpu_kernel", "cpu")
OUTPUT = ("FSE", "kernel", "fse_limit_exceeded", "output")
CPU_OF_HOST = ("TLE", "host", "tle_cpu_judge", "cpu")
OOM = ("MLE", "kernel", "mle_kernel_oom", "memory")
PROCESSES = ("PLE", "kernel", "ple_cgroup_pids", "process")
NOT_STARTED = ("IE", "host", "ie_supervisor_failure", None)
MISSING = ("IE", "unknown", "ie_missing_evidence", None)
CONTRADICTORY = ("IE", "unknown", "ie_contradictory_evidence", None)
MEMORY = ("MLE", "kernel", "mle_limit_breach", "memory")


def _near(peak: int) -> dict[str, Any]:
    limited = Zombie(limits=Limits(memory=100 * MIB))
    return {"memory": MemoryPeaks(address_space=peak), "zombie": limited}


CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("nothing known", {}, ("IE", "unknown", "ie_missing_evidence", None)),
    ("exit 0", {"exit_code": 0}, ("OK", "guest", "normal_exit", None)),
    (
        "exit 0 at its limit",
        {
            "exit_code": 0,
            "memory": MemoryPeaks(address_space=99),
            "zombie": Zombie(limits=Limits(memory=100)),
        },
        ("OK", "guest", "normal_exit", None),
    ),
    (
        "exit 0 after a timeout and SIGTERM",
        {"exit_code": 0, "sent_signals": (SentSignal(signal.SIGTERM, True),)},
        ("OK", "guest", "normal_exit", None),
    ),
    ("exit 3", {"exit_code": 3}, RE),
    ("exit 3 just before the SIGKILL of a timeout", {"exit_code": 3, "sent_signals": KILL_AFTER_TIMEOUT}, RE),
    (
        "exit 3 after a SIGTERM without timeout",
        {"exit_code": 3, "sent_signals": (SentSignal(signal.SIGTERM, False),)},
        RE,
    ),
    (
        "exit 3 after a timeout and SIGTERM",
        {"exit_code": 3, "sent_signals": (SentSignal(signal.SIGTERM, True),)},
        WALL,
    ),
    (
        "exit 3 after a timeout and SIGUSR1",
        {"exit_code": 3, "sent_signals": (SentSignal(signal.SIGUSR1, True),)},
        RE,
    ),
    (
        "killed by the parent",
        {"signal": signal.SIGKILL, "sent_signals": (SentSignal(signal.SIGKILL, False),)},
        BY_PARENT,
    ),
    ("killed after a timeout", {"signal": signal.SIGKILL, "sent_signals": KILL_AFTER_TIMEOUT}, WALL),
    (
        "SIGTERM, and SIGKILL after a grace period",
        {
            "signal": signal.SIGKILL,
            "sent_signals": (SentSignal(signal.SIGTERM, False), SentSignal(signal.SIGKILL, True)),
        },
        BY_PARENT,
    ),
    (
        "another signal before the timeout",
        {
            "signal": signal.SIGKILL,
            "sent_signals": (SentSignal(signal.SIGUSR1, False), SentSignal(signal.SIGKILL, True)),
        },
        WALL,
    ),
    (
        "ended by another signal than the one sent by the parent",
        {"signal": signal.SIGSEGV, "sent_signals": KILL_AFTER_TIMEOUT},
        FAULT,
    ),
    (
        "SIGXCPU without a limit",
        {"signal": signal.SIGXCPU, "zombie": Zombie(user_time=9.0, system_time=0.0)},
        UNATTRIBUTED,
    ),
    ("SIGXCPU, nothing known", {"signal": signal.SIGXCPU}, UNATTRIBUTED),
    (
        "SIGXCPU at 1 s, which raises the limit",
        {"signal": signal.SIGXCPU, "zombie": Zombie(user_time=0.95, system_time=0.0, limits=Limits(cpu=2))},
        CPU,
    ),
    (
        "SIGXCPU at 1 s, where nothing raises the limit",
        {"signal": signal.SIGXCPU, "zombie": Zombie(user_time=0.95, system_time=0.0, limits=Limits(cpu=1))},
        CPU,
    ),
    (
        "SIGXCPU, and the kernel has raised the limit, with less on the clock on a busy machine",
        {
            "signal": signal.SIGXCPU,
            "cpu_limit": 1,
            "zombie": Zombie(user_time=0.7, system_time=0.0, limits=Limits(cpu=2)),
        },
        CPU,
    ),
    (
        "SIGXCPU, and the child has raised the limit itself",
        {
            "signal": signal.SIGXCPU,
            "cpu_limit": 1,
            "zombie": Zombie(user_time=0.1, system_time=0.0, limits=Limits(cpu=2)),
        },
        UNATTRIBUTED,
    ),
    (
        "SIGXCPU long before the limit",
        {"signal": signal.SIGXCPU, "zombie": Zombie(user_time=0.1, system_time=0.0, limits=Limits(cpu=1))},
        UNATTRIBUTED,
    ),
    (
        "SIGKILL at 1 s, less than reported",
        {
            "signal": signal.SIGKILL,
            "zombie": Zombie(user_time=0.85, system_time=0.0, limits=Limits(cpu_hard=1)),
        },
        CPU,
    ),
    (
        "SIGKILL before 1 s",
        {
            "signal": signal.SIGKILL,
            "zombie": Zombie(user_time=0.75, system_time=0.0, limits=Limits(cpu_hard=1)),
        },
        UNATTRIBUTED,
    ),
    (
        "SIGKILL at the hard limit",
        {
            "signal": signal.SIGKILL,
            "zombie": Zombie(user_time=1.95, system_time=0.0, limits=Limits(cpu_hard=2)),
        },
        CPU,
    ),
    (
        "SIGKILL before the hard limit",
        {
            "signal": signal.SIGKILL,
            "zombie": Zombie(user_time=1.5, system_time=0.0, limits=Limits(cpu_hard=2)),
        },
        UNATTRIBUTED,
    ),
    (
        "SIGKILL, limit but no time known",
        {"signal": signal.SIGKILL, "zombie": Zombie(limits=Limits(cpu_hard=2))},
        UNATTRIBUTED,
    ),
    (
        "SIGKILL without a limit",
        {"signal": signal.SIGKILL, "zombie": Zombie(user_time=9.0, system_time=0.0)},
        UNATTRIBUTED,
    ),
    ("SIGTERM from another sender", {"signal": signal.SIGTERM}, UNATTRIBUTED),
    ("a real-time signal", {"signal": signal.SIGRTMIN + 1}, UNATTRIBUTED),
    ("SIGXFSZ", {"signal": signal.SIGXFSZ, "zombie": Zombie(limits=Limits(output=4096))}, OUTPUT),
    ("SIGXFSZ without a limit", {"signal": signal.SIGXFSZ}, UNATTRIBUTED),
    (
        "SIGXFSZ from the parent",
        {"signal": signal.SIGXFSZ, "sent_signals": (SentSignal(signal.SIGXFSZ, False),)},
        BY_PARENT,
    ),
    (
        "seccomp",
        {"signal": signal.SIGSYS, "zombie": Zombie(seccomp_killed=True)},
        ("SV", "kernel", "sv_seccomp", None),
    ),
    ("SIGSYS without seccomp", {"signal": signal.SIGSYS}, UNATTRIBUTED),
    ("SIGSEGV", {"signal": signal.SIGSEGV}, FAULT),
    ("SIGPIPE", {"signal": signal.SIGPIPE}, FAULT),
    (
        "exit 1 near its memory limit",
        {
            "exit_code": 1,
            "memory": MemoryPeaks(address_space=90 * MIB),
            "zombie": Zombie(limits=Limits(memory=100 * MIB)),
        },
        MEMORY,
    ),
    (
        "abort near its memory limit",
        {
            "signal": signal.SIGABRT,
            "memory": MemoryPeaks(address_space=99 * MIB),
            "zombie": Zombie(limits=Limits(memory=100 * MIB)),
        },
        MEMORY,
    ),
    (
        "exit 1 far from its memory limit",
        {
            "exit_code": 1,
            "memory": MemoryPeaks(address_space=89 * MIB),
            "zombie": Zombie(limits=Limits(memory=100 * MIB)),
        },
        RE,
    ),
    (
        "a peak above the limit is that of another process",
        {
            "exit_code": 1,
            "memory": MemoryPeaks(address_space=300 * MIB),
            "zombie": Zombie(limits=Limits(memory=100 * MIB)),
        },
        RE,
    ),
    ("exit 1, no peak known", {"exit_code": 1, "zombie": Zombie(limits=Limits(memory=100 * MIB))}, RE),
    (
        "SIGKILL near its memory limit, which does not kill",
        {
            "signal": signal.SIGKILL,
            "memory": MemoryPeaks(address_space=99 * MIB),
            "zombie": Zombie(limits=Limits(memory=100 * MIB)),
        },
        UNATTRIBUTED,
    ),
    (
        "exit 3 near its memory limit, which is the program's own",
        {
            "exit_code": 3,
            "memory": MemoryPeaks(address_space=95 * MIB),
            "zombie": Zombie(limits=Limits(memory=100 * MIB)),
        },
        RE,
    ),
    (
        "exit 1 near its memory limit, after a SIGTERM",
        {
            "exit_code": 1,
            "memory": MemoryPeaks(address_space=95 * MIB),
            "zombie": Zombie(limits=Limits(memory=100 * MIB)),
            "sent_signals": (SentSignal(signal.SIGTERM, False),),
        },
        RE,
    ),
    ("exit 124 of another program", {"exit_code": 124, "program": "python3"}, RE),
    ("exit 139 of another program", {"exit_code": 139, "program": "python3"}, RE),
    ("exit 1 of a shell", {"exit_code": 1, "program": "sh", "is_shell": True}, RE),
    ("exit 255 of a shell", {"exit_code": 255, "program": "bash"}, RE),
    ("exit 128 of a shell", {"exit_code": 128, "program": "bash"}, RE),
    (
        "timeout, killed by the parent",
        {
            "signal": signal.SIGKILL,
            "program": "timeout",
            "sent_signals": (SentSignal(signal.SIGKILL, False),),
        },
        BY_PARENT,
    ),
    ("exit 123 of timeout", {"exit_code": 123, "program": "timeout"}, RE),
]

TOLD: list[tuple[str, dict[str, Any], Any]] = [
    ("timeout, SIGTERM", {"exit_code": 124, "program": "timeout"}, WALL),
    ("timeout, SIGKILL", {"exit_code": 137, "program": "timeout"}, WALL),
    ("shell, SIGSEGV", {"exit_code": 139, "program": "sh", "is_shell": True}, FAULT),
    ("shell by name", {"exit_code": 134, "program": "bash"}, FAULT),
    ("shell by another name", {"exit_code": 139, "program": "rbash", "is_shell": True}, FAULT),
    ("shell, SIGXCPU", {"exit_code": 152, "program": "sh"}, CPU),
    ("shell, SIGXFSZ", {"exit_code": 153, "program": "sh"}, OUTPUT),
    ("shell, SIGSYS", {"exit_code": 159, "program": "sh"}, ("SV", "kernel", "sv_seccomp", None)),
    ("shell, SIGKILL", {"exit_code": 137, "program": "sh"}, UNATTRIBUTED),
    ("shell, SIGTERM", {"exit_code": 143, "program": "sh"}, UNATTRIBUTED),
    (
        "shell, SIGINT from the parent",
        {"exit_code": 130, "program": "sh", "sent_signals": (SentSignal(signal.SIGINT, False),)},
        BY_PARENT,
    ),
]


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


def _isolate(code: int, **meta: Any) -> dict[str, Any]:
    return {"exit_code": code, "program": "isolate", "meta": IsolateMeta(**meta)}


ISOLATE: list[tuple[str, dict[str, Any], Any, str | None]] = [
    ("success", _isolate(0), OK, None),
    ("exit code", _isolate(1, status="RE", exit_code=3), RE, "told"),
    ("exit code 2, which is also one of isolate", _isolate(1, status="RE", exit_code=2), RE, "told"),
    ("signal", _isolate(1, status="SG", signal=11), FAULT, "told"),
    ("SIGKILL", _isolate(1, status="SG", signal=9), UNATTRIBUTED, "told"),
    ("SIGXFSZ", _isolate(1, status="SG", signal=25), OUTPUT, "told"),
    ("CPU time", _isolate(1, status="TO"), CPU_OF_HOST, "told"),
    ("wall-clock time", _isolate(1, status="TO", wall=True), WALL, "told"),
    ("memory of the cgroup", _isolate(1, status="SG", signal=9, oom_killed=True), OOM, "told"),
    ("its own error", _isolate(2, status="XX"), NOT_STARTED, "told"),
    (
        "its own error, without a file",
        {"exit_code": 2, "program": "isolate", "lacks_meta": True},
        NOT_STARTED,
        "told",
    ),
    ("no file", {"exit_code": 1, "program": "isolate", "lacks_meta": True}, MISSING, None),
    ("no file is asked for", {"exit_code": 1, "program": "isolate"}, RE, None),
    ("exit 0, and a failure in the file", _isolate(0, status="RE", exit_code=3), CONTRADICTORY, None),
    ("exit 1, and success in the file", _isolate(1), CONTRADICTORY, None),
    ("two functions disagree", {"exit_code": 1, "contradictory": True}, CONTRADICTORY, None),
]


@pytest.mark.parametrize(
    ("evidence", "expected", "basis"), [c[1:] for c in ISOLATE], ids=[c[0] for c in ISOLATE]
)
def test_the_meta_file_of_isolate(evidence: dict[str, Any], expected: Any, basis: Any) -> None:
    assert verdict_of(Evidence(**evidence)) == (Verdict(*expected), basis)


WRAPPERS = [
    ("sh", 126, NOT_STARTED),
    ("bash", 127, NOT_STARTED),
    ("timeout", 125, NOT_STARTED),
    ("timeout", 127, NOT_STARTED),
    ("env", 127, NOT_STARTED),
    ("prlimit", 127, NOT_STARTED),
    ("docker", 125, NOT_STARTED),
    ("docker", 126, NOT_STARTED),
    ("podman", 127, NOT_STARTED),
    ("docker", 137, UNATTRIBUTED),
    ("docker", 139, FAULT),
    ("bwrap", 139, FAULT),
    ("nsjail", 255, NOT_STARTED),
    ("nsjail", 137, UNATTRIBUTED),
    ("nsjail", 159, ("SV", "kernel", "sv_seccomp", None)),
    ("runc", 152, CPU),
    ("systemd-run", 203, NOT_STARTED),
    ("systemd-run", 255, UNATTRIBUTED),
]


@pytest.mark.parametrize(("program", "code", "expected"), WRAPPERS)
def test_the_exit_codes_of_wrappers(program: str, code: int, expected: Any) -> None:
    assert verdict_of(Evidence(exit_code=code, program=program)) == (Verdict(*expected), "told")


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("python3", 127),
        ("bwrap", 127),
        ("prlimit", 125),
        ("env", 139),
        ("nsjail", 1),
        ("systemd-run", 1),
        ("docker", 1),
    ],
)
def test_exit_codes_that_tell_nothing(program: str, code: int) -> None:
    assert verdict_of(Evidence(exit_code=code, program=program)) == (Verdict(*RE), None)


@pytest.mark.parametrize(("evidence", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_verdict_follows_from_the_evidence(evidence: dict[str, Any], expected: Any) -> None:
    basis = "inferred" if expected == MEMORY else None
    assert verdict_of(Evidence(**evidence)) == (Verdict(*expected), basis)


@pytest.mark.parametrize(("evidence", "expected"), [case[1:] for case in TOLD], ids=[c[0] for c in TOLD])
def test_what_another_program_tells(evidence: dict[str, Any], expected: Any) -> None:
    assert verdict_of(Evidence(**evidence)) == (Verdict(*expected), "told")
