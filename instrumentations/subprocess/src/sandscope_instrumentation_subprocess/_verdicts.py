"""From evidence to verdict."""

from __future__ import annotations

import signal

from sandscope.instrumentation import MISSING_EVIDENCE, OK, Verdict
from sandscope_instrumentation_subprocess._evidence import Evidence

SPAWN_FAILED = Verdict("IE", "judge", "ie_supervisor_failure")
STILL_RUNNING = Verdict("IE", "judge", "ie_still_running")

_NONZERO_EXIT = Verdict("RE", "runtime", "re_nonzero_exit")
_FAULT = Verdict("SIG", "runtime", "re_fatal_signal")
_UNATTRIBUTED = Verdict("SIG", "kernel", "sig_unattributed")
_SENT_BY_PARENT = Verdict("SIG", "judge", "sig_sent_by_parent")
_WALL_TIME = Verdict("TLE", "judge", "tle_wall_judge", "wall")
_CPU_TIME = Verdict("TLE", "kernel", "tle_cpu_kernel", "cpu")
_MEMORY = Verdict("MLE", "kernel", "mle_limit_breach", "memory")
_OUTPUT = Verdict("FSE", "kernel", "fse_limit_exceeded", "output")
_SECCOMP = Verdict("SV", "kernel", "sv_seccomp")

_FAULTS = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGPIPE,
    signal.SIGSEGV,
    signal.SIGTRAP,
}
_STOPS = {signal.SIGABRT, signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM}


def verdict_of_error(_error: BaseException) -> Verdict:
    """Return the verdict on a child that could not be started."""
    return SPAWN_FAILED


def verdict_of(evidence: Evidence) -> Verdict:
    """Return the verdict on a child that has ended: that of the first rule that holds."""
    return next((verdict for holds, verdict in _RULES if holds(evidence)), _NONZERO_EXIT)


def _unknown(evidence: Evidence) -> bool:
    return evidence.exit_code is None and evidence.signal is None


def _succeeded(evidence: Evidence) -> bool:
    return evidence.exit_code == 0


def _killed_by_seccomp(evidence: Evidence) -> bool:
    return evidence.seccomp_killed


def _stopped_after_timeout(evidence: Evidence) -> bool:
    """Sent a signal to stop because it took too long, and stopped.

    A timeout after the first such signal is only the patience of a program that stops it for other reasons.
    """
    stops = [(number, after_timeout) for number, after_timeout in evidence.sent if number in _STOPS]
    if not stops or not stops[0][1]:
        return False
    if evidence.signal is not None:
        return _killed_by_parent(evidence)
    return any(number != signal.SIGKILL for number, _ in stops)  # it may have caught it, and then failed


def _killed_by_parent(evidence: Evidence) -> bool:
    return evidence.signal is not None and any(number == evidence.signal for number, _ in evidence.sent)


def _out_of_cpu_time(evidence: Evidence) -> bool:
    if evidence.signal == signal.SIGXCPU:
        return True
    if evidence.signal != signal.SIGKILL or evidence.cpu_limit is None or evidence.cpu_time is None:
        return False
    # The kernel counts by its own clock when it enforces, and in ticks when it reports.
    return evidence.cpu_time >= evidence.cpu_limit - max(0.1, 0.05 * evidence.cpu_limit)


def _out_of_output(evidence: Evidence) -> bool:
    return evidence.signal == signal.SIGXFSZ


def _out_of_memory(evidence: Evidence) -> bool:
    """A refused allocation leaves no trace of its own: failure next to the limit is what can be seen."""
    if evidence.memory_limit is None or evidence.memory_peak is None:
        return False
    if evidence.signal is not None and evidence.signal not in _FAULTS:
        return False
    # More than the limit is not the child's own peak.
    return 0.9 * evidence.memory_limit <= evidence.memory_peak <= evidence.memory_limit


def _faulted(evidence: Evidence) -> bool:
    return evidence.signal in _FAULTS


def _killed(evidence: Evidence) -> bool:
    return evidence.signal is not None


_RULES = (
    (_unknown, MISSING_EVIDENCE),
    (_succeeded, OK),
    (_killed_by_seccomp, _SECCOMP),
    (_stopped_after_timeout, _WALL_TIME),
    (_killed_by_parent, _SENT_BY_PARENT),
    (_out_of_cpu_time, _CPU_TIME),
    (_out_of_output, _OUTPUT),
    (_out_of_memory, _MEMORY),
    (_faulted, _FAULT),
    (_killed, _UNATTRIBUTED),
)
