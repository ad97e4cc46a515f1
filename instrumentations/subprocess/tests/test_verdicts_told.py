"""The verdict that follows from what a shell, a wrapper or isolate tells of its own child."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from sandscope import Verdict
from sandscope_instrumentation_subprocess._child import SentSignal
from sandscope_instrumentation_subprocess._evidence import Evidence
from sandscope_instrumentation_subprocess._evidence._isolate_meta import IsolateMeta
from sandscope_instrumentation_subprocess._verdicts import verdict_of

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
NOT_STARTED = ("IE", "host", "ie_supervisor_failure", None)
MISSING = ("IE", "unknown", "ie_missing_evidence", None)
CONTRADICTORY = ("IE", "unknown", "ie_contradictory_evidence", None)


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


@pytest.mark.parametrize(("evidence", "expected"), [case[1:] for case in TOLD], ids=[c[0] for c in TOLD])
def test_what_another_program_tells(evidence: dict[str, Any], expected: Any) -> None:
    assert verdict_of(Evidence(**evidence)) == (Verdict(*expected), "told")
