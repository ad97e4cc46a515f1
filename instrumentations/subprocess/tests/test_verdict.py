"""From evidence to verdict, case by case."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from sandscope import Verdict
from sandscope_instrumentation_subprocess._evidence import Evidence
from sandscope_instrumentation_subprocess._verdicts import verdict_of

MIB = 1 << 20
KILL_AFTER_TIMEOUT = ((signal.SIGKILL, True),)
RE = ("RE", "runtime", "re_nonzero_exit", None)
FAULT = ("SIG", "runtime", "re_fatal_signal", None)
UNATTRIBUTED = ("SIG", "kernel", "sig_unattributed", None)
BY_PARENT = ("SIG", "judge", "sig_sent_by_parent", None)
WALL = ("TLE", "judge", "tle_wall_judge", "wall")
CPU = ("TLE", "kernel", "tle_cpu_kernel", "cpu")
MEMORY = ("MLE", "kernel", "mle_limit_breach", "memory")

CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("nothing known", {}, ("IE", "runtime", "ie_missing_evidence", None)),
    ("exit 0", {"exit_code": 0}, ("OK", "runtime", "normal_exit", None)),
    (
        "exit 0 at its limit",
        {"exit_code": 0, "memory_limit": 100, "memory_peak": 99},
        ("OK", "runtime", "normal_exit", None),
    ),
    (
        "exit 0 after a timeout and SIGTERM",
        {"exit_code": 0, "sent": ((signal.SIGTERM, True),)},
        ("OK", "runtime", "normal_exit", None),
    ),
    ("exit 3", {"exit_code": 3}, RE),
    ("exit 3 just before the SIGKILL of a timeout", {"exit_code": 3, "sent": KILL_AFTER_TIMEOUT}, RE),
    ("exit 3 after a SIGTERM without timeout", {"exit_code": 3, "sent": ((signal.SIGTERM, False),)}, RE),
    ("exit 3 after a timeout and SIGTERM", {"exit_code": 3, "sent": ((signal.SIGTERM, True),)}, WALL),
    ("exit 3 after a timeout and SIGUSR1", {"exit_code": 3, "sent": ((signal.SIGUSR1, True),)}, RE),
    ("killed by the parent", {"signal": signal.SIGKILL, "sent": ((signal.SIGKILL, False),)}, BY_PARENT),
    ("killed after a timeout", {"signal": signal.SIGKILL, "sent": KILL_AFTER_TIMEOUT}, WALL),
    (
        "asked to stop, not stopped in time, then killed",
        {"signal": signal.SIGKILL, "sent": ((signal.SIGTERM, False), (signal.SIGKILL, True))},
        BY_PARENT,
    ),
    (
        "told something else before the timeout",
        {"signal": signal.SIGKILL, "sent": ((signal.SIGUSR1, False), (signal.SIGKILL, True))},
        WALL,
    ),
    (
        "killed by another signal than the parent's",
        {"signal": signal.SIGSEGV, "sent": KILL_AFTER_TIMEOUT},
        FAULT,
    ),
    ("SIGXCPU", {"signal": signal.SIGXCPU}, CPU),
    ("SIGKILL at the hard limit", {"signal": signal.SIGKILL, "cpu_limit": 2, "cpu_time": 1.95}, CPU),
    (
        "SIGKILL before the hard limit",
        {"signal": signal.SIGKILL, "cpu_limit": 2, "cpu_time": 1.5},
        UNATTRIBUTED,
    ),
    ("SIGKILL, limit but no time known", {"signal": signal.SIGKILL, "cpu_limit": 2}, UNATTRIBUTED),
    ("SIGKILL without a limit", {"signal": signal.SIGKILL, "cpu_time": 9.0}, UNATTRIBUTED),
    ("SIGTERM from elsewhere", {"signal": signal.SIGTERM}, UNATTRIBUTED),
    ("a real-time signal", {"signal": signal.SIGRTMIN + 1}, UNATTRIBUTED),
    ("SIGXFSZ", {"signal": signal.SIGXFSZ}, ("FSE", "kernel", "fse_limit_exceeded", "output")),
    (
        "SIGXFSZ from the parent",
        {"signal": signal.SIGXFSZ, "sent": ((signal.SIGXFSZ, False),)},
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
        "a peak above the limit is another process's",
        {"exit_code": 1, "memory_limit": 100 * MIB, "memory_peak": 300 * MIB},
        RE,
    ),
    ("exit 1, no peak known", {"exit_code": 1, "memory_limit": 100 * MIB}, RE),
    (
        "SIGKILL near its memory limit: that limit does not kill",
        {"signal": signal.SIGKILL, "memory_limit": 100 * MIB, "memory_peak": 99 * MIB},
        UNATTRIBUTED,
    ),
]


@pytest.mark.parametrize(("evidence", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_verdict_follows_from_the_evidence(evidence: dict[str, Any], expected: Any) -> None:
    assert verdict_of(Evidence(**evidence)) == Verdict(*expected)
