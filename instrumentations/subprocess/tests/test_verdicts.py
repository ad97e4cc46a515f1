"""The verdict that follows from the evidence, case by case."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from sandscope import Verdict
from sandscope_instrumentation_subprocess._child import SentSignal
from sandscope_instrumentation_subprocess._evidence import Evidence
from sandscope_instrumentation_subprocess._verdicts import verdict_of

MIB = 1 << 20
KILL_AFTER_TIMEOUT = (SentSignal(signal.SIGKILL, True),)
RE = ("RE", "guest", "re_nonzero_exit", None)
FAULT = ("SIG", "guest", "re_fatal_signal", None)
UNATTRIBUTED = ("SIG", "unknown", "sig_unattributed", None)
BY_PARENT = ("SIG", "host", "sig_sent_by_parent", None)
WALL = ("TLE", "host", "tle_wall_judge", "wall")
CPU = ("TLE", "kernel", "tle_cpu_kernel", "cpu")
MEMORY = ("MLE", "kernel", "mle_limit_breach", "memory")

CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("nothing known", {}, ("IE", "unknown", "ie_missing_evidence", None)),
    ("exit 0", {"exit_code": 0}, ("OK", "guest", "normal_exit", None)),
    (
        "exit 0 at its limit",
        {"exit_code": 0, "memory_limit": 100, "memory_peak": 99},
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
    ("SIGXCPU", {"signal": signal.SIGXCPU}, CPU),
    ("SIGKILL at 1 s, less than reported", {"signal": signal.SIGKILL, "cpu_limit": 1, "cpu_time": 0.85}, CPU),
    ("SIGKILL before 1 s", {"signal": signal.SIGKILL, "cpu_limit": 1, "cpu_time": 0.75}, UNATTRIBUTED),
    ("SIGKILL at the hard limit", {"signal": signal.SIGKILL, "cpu_limit": 2, "cpu_time": 1.95}, CPU),
    (
        "SIGKILL before the hard limit",
        {"signal": signal.SIGKILL, "cpu_limit": 2, "cpu_time": 1.5},
        UNATTRIBUTED,
    ),
    ("SIGKILL, limit but no time known", {"signal": signal.SIGKILL, "cpu_limit": 2}, UNATTRIBUTED),
    ("SIGKILL without a limit", {"signal": signal.SIGKILL, "cpu_time": 9.0}, UNATTRIBUTED),
    ("SIGTERM from another sender", {"signal": signal.SIGTERM}, UNATTRIBUTED),
    ("a real-time signal", {"signal": signal.SIGRTMIN + 1}, UNATTRIBUTED),
    ("SIGXFSZ", {"signal": signal.SIGXFSZ}, ("FSE", "kernel", "fse_limit_exceeded", "output")),
    (
        "SIGXFSZ from the parent",
        {"signal": signal.SIGXFSZ, "sent_signals": (SentSignal(signal.SIGXFSZ, False),)},
        BY_PARENT,
    ),
    ("seccomp", {"signal": signal.SIGSYS, "seccomp_killed": True}, ("SV", "kernel", "sv_seccomp", None)),
    ("SIGSYS without seccomp", {"signal": signal.SIGSYS}, UNATTRIBUTED),
    ("SIGSEGV", {"signal": signal.SIGSEGV}, FAULT),
    ("SIGPIPE", {"signal": signal.SIGPIPE}, FAULT),
    (
        "exit 1 near its memory limit",
        {"exit_code": 1, "memory_limit": 100 * MIB, "memory_peak": 90 * MIB},
        MEMORY,
    ),
    (
        "abort near its memory limit",
        {"signal": signal.SIGABRT, "memory_limit": 100 * MIB, "memory_peak": 99 * MIB},
        MEMORY,
    ),
    (
        "exit 1 far from its memory limit",
        {"exit_code": 1, "memory_limit": 100 * MIB, "memory_peak": 89 * MIB},
        RE,
    ),
    (
        "a peak above the limit is that of another process",
        {"exit_code": 1, "memory_limit": 100 * MIB, "memory_peak": 300 * MIB},
        RE,
    ),
    ("exit 1, no peak known", {"exit_code": 1, "memory_limit": 100 * MIB}, RE),
    (
        "SIGKILL near its memory limit, which does not kill",
        {"signal": signal.SIGKILL, "memory_limit": 100 * MIB, "memory_peak": 99 * MIB},
        UNATTRIBUTED,
    ),
]


@pytest.mark.parametrize(("evidence", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_verdict_follows_from_the_evidence(evidence: dict[str, Any], expected: Any) -> None:
    assert verdict_of(Evidence(**evidence)) == Verdict(*expected)
