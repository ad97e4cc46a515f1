"""The verdict that follows from what is known of a child, case by case."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from sandscope import Verdict
from sandscope_instrumentation_subprocess._child import SentSignal
from sandscope_instrumentation_subprocess._evidence import Evidence, Limits, MemoryPeaks, Zombie
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


@pytest.mark.parametrize(("evidence", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_verdict_follows_from_the_evidence(evidence: dict[str, Any], expected: Any) -> None:
    basis = "inferred" if expected == MEMORY else None
    assert verdict_of(Evidence(**evidence)) == (Verdict(*expected), basis)
