"""Whether the program itself has stopped the child, and why."""

from __future__ import annotations

import signal

from sandscope_instrumentation_subprocess._child import SentSignal
from sandscope_instrumentation_subprocess._conditions._limits_reached import close_to
from sandscope_instrumentation_subprocess._evidence import Evidence

_STOP_SIGNALS = {
    signal.SIGABRT,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGKILL,
    signal.SIGQUIT,
    signal.SIGTERM,
}


def killed_by_parent(evidence: Evidence) -> bool:
    """Return whether the program has sent the signal that ended the child."""
    return evidence.signal is not None and any(
        sent.number == evidence.signal for sent in evidence.sent_signals
    )


def stopped_after_timeout(evidence: Evidence) -> bool:
    """Return whether the program stopped the child because a wait for it had timed out."""
    stop = _first_stop(evidence)
    return stop is not None and stop.after_timeout and _stopped(evidence)


def stopped_by_timer(evidence: Evidence) -> bool:
    """Return whether a timer of the program stopped the child."""
    stop = _first_stop(evidence)
    return stop is not None and stop.by_timer and _stopped(evidence)


def killed_past_cpu_limit(evidence: Evidence) -> bool:
    """Return whether the program killed the child after it had used up its CPU time."""
    limit, used = evidence.cpu_limit or evidence.zombie.limits.cpu, evidence.zombie.cpu_time
    return killed_by_parent(evidence) and close_to(used, limit)


def _first_stop(evidence: Evidence) -> SentSignal | None:
    """Return the first stop signal: a timeout that follows it is a grace period, and not why the child is stopped."""
    return next((sent for sent in evidence.sent_signals if sent.number in _STOP_SIGNALS), None)


def _stopped(evidence: Evidence) -> bool:
    if evidence.signal is not None:
        return killed_by_parent(evidence)
    # The child may have caught the signal, and then exited with a code other than 0.
    stops = [sent for sent in evidence.sent_signals if sent.number in _STOP_SIGNALS]
    return any(sent.number != signal.SIGKILL for sent in stops)
