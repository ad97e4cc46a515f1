"""The verdict that follows from the evidence: that of the first rule that applies."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Literal, TypeAlias

from sandscope.instrumentation import MISSING_EVIDENCE, OK, Verdict
from sandscope_instrumentation_subprocess._conditions import _limits_reached, _stopped, _told
from sandscope_instrumentation_subprocess._evidence import Evidence
from sandscope_instrumentation_subprocess._sites import SPAWN_FAILED

Basis: TypeAlias = "Literal['inferred', 'told'] | None"
"""How a verdict follows, unless from what the kernel reports of the child: ``inferred`` from circumstances, or ``told``
by a shell or another program that ran the child's own child.
"""

_CONTRADICTORY = Verdict("IE", "unknown", "ie_contradictory_evidence")
_NONZERO_EXIT = Verdict("RE", "guest", "re_nonzero_exit")
_FAULT = Verdict("SIG", "guest", "re_fatal_signal")
_UNATTRIBUTED_SIGNAL = Verdict("SIG", "unknown", "sig_unattributed")
_SENT_BY_PARENT = Verdict("SIG", "host", "sig_sent_by_parent")
_WALL_TIME_LIMIT = Verdict("TLE", "host", "tle_wall_judge", "wall")
_CPU_TIME_LIMIT = Verdict("TLE", "kernel", "tle_cpu_kernel", "cpu")
_CPU_TIME_LIMIT_OF_HOST = Verdict("TLE", "host", "tle_cpu_judge", "cpu")
_MEMORY_LIMIT = Verdict("MLE", "kernel", "mle_limit_breach", "memory")
_OOM_KILLED = Verdict("MLE", "kernel", "mle_kernel_oom", "memory")
_PROCESS_LIMIT = Verdict("PLE", "kernel", "ple_cgroup_pids", "process")
_OUTPUT_LIMIT = Verdict("FSE", "kernel", "fse_limit_exceeded", "output")
_SECCOMP = Verdict("SV", "kernel", "sv_seccomp")


def verdict_of(evidence: Evidence) -> tuple[Verdict, Basis]:
    """Return the verdict on a child that has ended, and how it follows."""
    if not _told.contradicts_itself(evidence):
        evidence = _told.as_told(evidence)
    for applies, verdict, basis in _RULES:
        if applies(evidence):
            return verdict, basis or ("told" if evidence.told else None)
    return _NONZERO_EXIT, "told" if evidence.told else None


def _exit_status_unknown(evidence: Evidence) -> bool:
    return evidence.exit_code is None and evidence.signal is None


def _succeeded(evidence: Evidence) -> bool:
    return evidence.exit_code == 0


def _killed_by_seccomp(evidence: Evidence) -> bool:
    return evidence.signal == signal.SIGSYS if evidence.told else evidence.zombie.seccomp_killed


def _faulted(evidence: Evidence) -> bool:
    return evidence.signal in _limits_reached.FAULT_SIGNALS


def _killed(evidence: Evidence) -> bool:
    return evidence.signal is not None


_RULES: tuple[tuple[Callable[[Evidence], bool], Verdict, Basis], ...] = (
    (_told.contradicts_itself, _CONTRADICTORY, None),
    (_exit_status_unknown, MISSING_EVIDENCE, None),
    (_told.lacks_meta_file, MISSING_EVIDENCE, None),
    (_succeeded, OK, None),
    (_told.was_not_started, SPAWN_FAILED, "told"),
    (_told.was_oom_killed, _OOM_KILLED, "told"),
    (_told.used_up_cpu_time, _CPU_TIME_LIMIT_OF_HOST, "told"),
    (_killed_by_seccomp, _SECCOMP, None),
    (_stopped.stopped_after_timeout, _WALL_TIME_LIMIT, None),
    (_told.timed_out, _WALL_TIME_LIMIT, "told"),
    (_stopped.stopped_by_timer, _WALL_TIME_LIMIT, "inferred"),
    (_stopped.killed_past_cpu_limit, _CPU_TIME_LIMIT_OF_HOST, None),
    (_stopped.killed_by_parent, _SENT_BY_PARENT, None),
    (_told.was_killed_as_timeout, _WALL_TIME_LIMIT, "inferred"),
    (_limits_reached.reached_cpu_time_limit, _CPU_TIME_LIMIT, None),
    (_limits_reached.oom_killed, _OOM_KILLED, None),
    (_limits_reached.probably_oom_killed, _OOM_KILLED, "inferred"),
    (_limits_reached.reached_output_limit, _OUTPUT_LIMIT, None),
    (_limits_reached.reached_process_limit, _PROCESS_LIMIT, "inferred"),
    (_limits_reached.reached_memory_limit, _MEMORY_LIMIT, "inferred"),
    (_faulted, _FAULT, None),
    (_told.was_killed, _UNATTRIBUTED_SIGNAL, "told"),
    (_killed, _UNATTRIBUTED_SIGNAL, None),
)
