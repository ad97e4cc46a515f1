"""Whether a limit of the kernel has ended the child."""

from __future__ import annotations

import signal

from sandscope_instrumentation_subprocess._evidence import Evidence

FAULT_SIGNALS = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGPIPE,
    signal.SIGSEGV,
    signal.SIGTRAP,
}
"""Those that a fault of the program raises."""

# Those with which programs fail because of memory, as no signal does: 1 by an uncaught exception, 2 by Go's runtime.
_MEMORY_EXIT_CODES = {1, 2}

_NEAR_LIMIT = 0.9


def reached_cpu_time_limit(evidence: Evidence) -> bool:
    """Return whether the kernel has ended the child at its soft or at its hard limit of CPU time."""
    if evidence.told:
        return evidence.signal == signal.SIGXCPU
    if evidence.signal == signal.SIGXCPU:
        return _was_raised(evidence) or close_to(evidence.zombie.cpu_time, _soft_limit(evidence))
    return evidence.signal == signal.SIGKILL and close_to(
        evidence.zombie.cpu_time, evidence.zombie.limits.cpu_hard
    )


def close_to(used: float | None, limit: int | None) -> bool:
    """Return whether a limit of CPU time was reached.

    Args:
        used: seconds, or None.
        limit: seconds, or None.
    """
    if limit is None or used is None:
        return False
    # To enforce the limit, the kernel counts timer ticks; on a busy machine, this differs from the precise CPU
    # time that it reports: at a limit of 1 s, 0.82 to 1.03 s were measured there, and at 2 s, 1.77 to 1.89 s.
    return used >= limit - max(0.22, 0.15 * limit)


def reached_output_limit(evidence: Evidence) -> bool:
    """Return whether the kernel has ended the child at the limit of the size of a file."""
    limited = evidence.told or evidence.zombie.limits.output is not None
    return evidence.signal == signal.SIGXFSZ and limited


def reached_memory_limit(evidence: Evidence) -> bool:
    """Return whether the child failed close to its memory limit, and in the way in which programs lack memory.

    A refused allocation itself is not visible.
    """
    if evidence.signal is None and (evidence.exit_code not in _MEMORY_EXIT_CODES or evidence.sent_signals):
        return False
    if evidence.signal is not None and evidence.signal not in FAULT_SIGNALS:
        return False
    limits, memory = evidence.zombie.limits, evidence.memory
    return (
        _near(memory.address_space, limits.memory)
        or _near(memory.resident, limits.memory)
        or _near(memory.data, limits.data)
    )


def oom_killed(evidence: Evidence) -> bool:
    """Return whether the kernel has killed the child for lack of memory in its own cgroup."""
    cgroup = evidence.cgroup
    return (
        evidence.signal == signal.SIGKILL
        and cgroup is not None
        and cgroup.own
        and cgroup.exact
        and bool(cgroup.counters.oom_kills)
    )


def probably_oom_killed(evidence: Evidence) -> bool:
    """Return whether the kernel has killed a process of the child's cgroup, which may have been another one."""
    cgroup = evidence.cgroup
    if cgroup is None or not _failed(evidence):
        return False
    kills = cgroup.counters.oom_kills
    if kills is None and cgroup.own:  # Linux before 4.13 counts only how often there was no memory
        kills = cgroup.counters.memory_limit_hits
    return bool(kills) and (evidence.signal == signal.SIGKILL or (cgroup.own and cgroup.exact))


def reached_process_limit(evidence: Evidence) -> bool:
    """Return whether the child failed after the kernel had refused a process in its cgroup."""
    cgroup = evidence.cgroup
    if cgroup is None or evidence.sent_signals or not _failed(evidence):
        return False
    return bool(cgroup.counters.process_limit_hits)


def _failed(evidence: Evidence) -> bool:
    """Return whether the child may have ended for lack of something: not by a signal that says another reason."""
    return bool(evidence.exit_code) or evidence.signal in {*FAULT_SIGNALS, signal.SIGKILL}


def _soft_limit(evidence: Evidence) -> int | None:
    """Return the soft limit of CPU time before the kernel raised it by a second, as it does with each SIGXCPU."""
    at_end = evidence.zombie.limits.cpu
    known = [limit for limit in (evidence.cpu_limit, at_end and max(1, at_end - 1)) if limit]
    return min(known, default=None)


def _was_raised(evidence: Evidence) -> bool:
    """Return whether the kernel has raised the soft limit of CPU time, as it does when it sends SIGXCPU."""
    before, at_end, used = evidence.cpu_limit, evidence.zombie.limits.cpu, evidence.zombie.cpu_time
    # With half of it used, it is not the child that has raised it early.
    return bool(before and at_end == before + 1 and used is not None and used >= before / 2)


def _near(used: int | None, limit: int | None) -> bool:
    if used is None or limit is None:
        return False
    # A peak above the limit cannot be the child's own.
    return _NEAR_LIMIT * limit <= used <= limit
