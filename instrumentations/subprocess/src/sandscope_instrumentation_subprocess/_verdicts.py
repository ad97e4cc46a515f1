"""The verdict that follows from the evidence."""

from __future__ import annotations

import signal

from sandscope.instrumentation import MISSING_EVIDENCE, OK, Verdict
from sandscope_instrumentation_subprocess._evidence import Evidence

SPAWN_FAILED = Verdict("IE", "host", "ie_supervisor_failure")
STILL_RUNNING = Verdict("IE", "unknown", "ie_still_running")

_NONZERO_EXIT = Verdict("RE", "guest", "re_nonzero_exit")
_FAULT = Verdict("SIG", "guest", "re_fatal_signal")
_UNATTRIBUTED_SIGNAL = Verdict("SIG", "unknown", "sig_unattributed")
_SENT_BY_PARENT = Verdict("SIG", "host", "sig_sent_by_parent")
_WALL_TIME_LIMIT = Verdict("TLE", "host", "tle_wall_judge", "wall")
_CPU_TIME_LIMIT = Verdict("TLE", "kernel", "tle_cpu_kernel", "cpu")
_MEMORY_LIMIT = Verdict("MLE", "kernel", "mle_limit_breach", "memory")
_OUTPUT_LIMIT = Verdict("FSE", "kernel", "fse_limit_exceeded", "output")
_SECCOMP = Verdict("SV", "kernel", "sv_seccomp")

_FAULT_SIGNALS = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGPIPE,
    signal.SIGSEGV,
    signal.SIGTRAP,
}
_STOP_SIGNALS = {
    signal.SIGABRT,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGKILL,
    signal.SIGQUIT,
    signal.SIGTERM,
}


def verdict_of_error(_error: BaseException) -> Verdict:
    """Return the verdict on a child that could not be started."""
    return SPAWN_FAILED


def verdict_of(evidence: Evidence) -> Verdict:
    """Return the verdict on a child that has ended: that of the first rule that applies."""
    return next((verdict for applies, verdict in _RULES if applies(evidence)), _NONZERO_EXIT)


def _exit_status_unknown(evidence: Evidence) -> bool:
    return evidence.exit_code is None and evidence.signal is None


def _succeeded(evidence: Evidence) -> bool:
    return evidence.exit_code == 0


def _killed_by_seccomp(evidence: Evidence) -> bool:
    return evidence.seccomp_killed


def _stopped_after_timeout(evidence: Evidence) -> bool:
    """Return whether the program stopped the child because a wait for it had timed out.

    A timeout that follows the first stop signal is a program's grace period, and not why it stops the child.
    """
    stops = [sent for sent in evidence.sent_signals if sent.number in _STOP_SIGNALS]
    if not stops or not stops[0].after_timeout:
        return False
    if evidence.signal is not None:
        return _killed_by_parent(evidence)
    # The child may have caught the signal, and then exited with a code other than 0.
    return any(sent.number != signal.SIGKILL for sent in stops)


def _killed_by_parent(evidence: Evidence) -> bool:
    return evidence.signal is not None and any(
        sent.number == evidence.signal for sent in evidence.sent_signals
    )


def _reached_cpu_time_limit(evidence: Evidence) -> bool:
    if evidence.signal == signal.SIGXCPU:
        return True
    if evidence.signal != signal.SIGKILL or evidence.cpu_limit is None or evidence.cpu_time is None:
        return False
    # To enforce the limit, the kernel counts timer ticks; on a busy machine, this differs from the precise CPU
    # time that it reports: at a limit of 1 s, 0.92 to 1.03 s were measured there.
    return evidence.cpu_time >= evidence.cpu_limit - max(0.2, 0.05 * evidence.cpu_limit)


def _reached_output_limit(evidence: Evidence) -> bool:
    return evidence.signal == signal.SIGXFSZ


def _reached_memory_limit(evidence: Evidence) -> bool:
    """Return whether the child failed close to its memory limit; a refused allocation itself is not visible."""
    if evidence.memory_limit is None or evidence.memory_peak is None:
        return False
    if evidence.signal is not None and evidence.signal not in _FAULT_SIGNALS:
        return False
    # A peak above the limit cannot be the child's own.
    return 0.9 * evidence.memory_limit <= evidence.memory_peak <= evidence.memory_limit


def _faulted(evidence: Evidence) -> bool:
    return evidence.signal in _FAULT_SIGNALS


def _killed(evidence: Evidence) -> bool:
    return evidence.signal is not None


_RULES = (
    (_exit_status_unknown, MISSING_EVIDENCE),
    (_succeeded, OK),
    (_killed_by_seccomp, _SECCOMP),
    (_stopped_after_timeout, _WALL_TIME_LIMIT),
    (_killed_by_parent, _SENT_BY_PARENT),
    (_reached_cpu_time_limit, _CPU_TIME_LIMIT),
    (_reached_output_limit, _OUTPUT_LIMIT),
    (_reached_memory_limit, _MEMORY_LIMIT),
    (_faulted, _FAULT),
    (_killed, _UNATTRIBUTED_SIGNAL),
)
