"""The verdict that follows from the evidence."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Literal, TypeAlias

from sandscope.instrumentation import MISSING_EVIDENCE, OK, Verdict
from sandscope_instrumentation_subprocess._evidence import Evidence, Zombie

Basis: TypeAlias = "Literal['inferred', 'told'] | None"
"""How a verdict follows, unless from what the kernel reports of the child: ``inferred`` from circumstances, or ``told``
by a shell or another program that ran the child's own child.
"""

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


# Those with which programs fail because of memory, as no signal does: 1 by an uncaught exception, 2 by Go's runtime.
_MEMORY_EXIT_CODES = {1, 2}

_SHELLS = {"sh", "ash", "bash", "busybox", "dash", "ksh", "mksh", "zsh"}
_TIMEOUT_PROGRAMS = {"timeout", "gtimeout"}
_TIMED_OUT = {124, 128 + signal.SIGKILL}


def verdict_of(evidence: Evidence) -> tuple[Verdict, Basis]:
    """Return the verdict on a child that has ended, and how it follows: those of the first rule that applies."""
    evidence = _as_told(evidence)
    for applies, verdict, basis in _RULES:
        if applies(evidence):
            return verdict, basis or ("told" if evidence.told else None)
    return _NONZERO_EXIT, None


def _as_told(evidence: Evidence) -> Evidence:
    """Replace the exit code by which a shell tells the signal that ended its own child."""
    number = (evidence.exit_code or 0) - 128
    if not (evidence.is_shell or evidence.program in _SHELLS) or number not in signal.valid_signals():
        return evidence
    return evidence._replace(exit_code=None, signal=number, told=True)


def _exit_status_unknown(evidence: Evidence) -> bool:
    return evidence.exit_code is None and evidence.signal is None


def _succeeded(evidence: Evidence) -> bool:
    return evidence.exit_code == 0


def _killed_by_seccomp(evidence: Evidence) -> bool:
    if evidence.told:
        return evidence.signal == signal.SIGSYS
    return evidence.zombie.seccomp_killed


def _killed_with_timeout_program(evidence: Evidence) -> bool:
    """Return whether ``timeout`` was killed: it is in the group of processes to which it sends SIGKILL."""
    return evidence.program in _TIMEOUT_PROGRAMS and evidence.signal == signal.SIGKILL


def _stopped_by_timeout_program(evidence: Evidence) -> bool:
    """Return whether ``timeout`` has stopped its command: it repeats any other signal that has ended the command."""
    return evidence.program in _TIMEOUT_PROGRAMS and evidence.exit_code in _TIMED_OUT


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
    if evidence.told:
        return evidence.signal == signal.SIGXCPU
    limit, used = None, evidence.zombie.cpu_time
    if evidence.signal == signal.SIGXCPU:
        limit = _first_soft_limit(evidence.zombie)
    elif evidence.signal == signal.SIGKILL:
        limit = evidence.zombie.limits.cpu_hard
    if limit is None or used is None:
        return False
    # To enforce the limit, the kernel counts timer ticks; on a busy machine, this differs from the precise CPU
    # time that it reports: at a limit of 1 s, 0.82 to 1.03 s were measured there, and at 2 s, 1.77 to 1.89 s.
    return used >= limit - max(0.22, 0.15 * limit)


def _first_soft_limit(zombie: Zombie) -> int | None:
    """Return the soft limit of CPU time before the kernel raised it by a second, as it does with each SIGXCPU."""
    return None if zombie.limits.cpu is None else max(1, zombie.limits.cpu - 1)


def _reached_output_limit(evidence: Evidence) -> bool:
    return evidence.signal == signal.SIGXFSZ and (evidence.told or evidence.zombie.limits.output is not None)


def _reached_memory_limit(evidence: Evidence) -> bool:
    """Return whether the child failed close to its memory limit, and in the way in which programs lack memory.

    A refused allocation itself is not visible.
    """
    limit, peak = evidence.zombie.limits.memory, evidence.memory_peak
    if limit is None or peak is None:
        return False
    if evidence.signal is None and (evidence.exit_code not in _MEMORY_EXIT_CODES or evidence.sent_signals):
        return False
    if evidence.signal is not None and evidence.signal not in _FAULT_SIGNALS:
        return False
    # A peak above the limit cannot be the child's own.
    return 0.9 * limit <= peak <= limit


def _faulted(evidence: Evidence) -> bool:
    return evidence.signal in _FAULT_SIGNALS


def _killed(evidence: Evidence) -> bool:
    return evidence.signal is not None


_RULES: tuple[tuple[Callable[[Evidence], bool], Verdict, Basis], ...] = (
    (_exit_status_unknown, MISSING_EVIDENCE, None),
    (_succeeded, OK, None),
    (_killed_by_seccomp, _SECCOMP, None),
    (_stopped_after_timeout, _WALL_TIME_LIMIT, None),
    (_stopped_by_timeout_program, _WALL_TIME_LIMIT, "told"),
    (_killed_by_parent, _SENT_BY_PARENT, None),
    (_killed_with_timeout_program, _WALL_TIME_LIMIT, "inferred"),
    (_reached_cpu_time_limit, _CPU_TIME_LIMIT, None),
    (_reached_output_limit, _OUTPUT_LIMIT, None),
    (_reached_memory_limit, _MEMORY_LIMIT, "inferred"),
    (_faulted, _FAULT, None),
    (_killed, _UNATTRIBUTED_SIGNAL, None),
)
