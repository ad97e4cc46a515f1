"""What happened to a child while it ran, told when it has ended: timeouts, signals, the limit that it reached.

Not at once: a signal may be sent by a signal handler, which must not wait for the locks of an SDK.
"""

from __future__ import annotations

import signal

from sandscope.instrumentation import (
    RESOURCE,
    SECURITY,
    Recorder,
    Value,
    Verdict,
    limit_attributes,
    report_incident,
)
from sandscope_instrumentation_subprocess._backends import PIDFD_COUNTS
from sandscope_instrumentation_subprocess._child import Child

SIGNAL = "sandbox.process.signal"


def conclude(child: Child, verdict: Verdict, recorder: Recorder) -> Verdict:
    """Report what happened to a child, and return the verdict with what the user's settings ask for.

    Args:
        child: has ended.
        verdict: on the child, by the evidence of its end.
        recorder: counts what is reported.
    """
    _report_timeouts(child)
    _report_signals(child)
    if child.pidfd is not None:
        recorder.measure_all(PIDFD_COUNTS[child.pidfd])
    if child.samples is not None:
        verdict = child.samples.report(child, verdict, recorder)
    if verdict.limit is not None:
        report_incident(child.execution, RESOURCE, verdict.cause, limit_attributes(verdict.limit))
    if verdict.status == "SV":
        attributes = {"sandbox.violation.type": verdict.cause, "sandbox.violation.action": "trapped"}
        report_incident(child.execution, SECURITY, verdict.cause, attributes)
    return verdict


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _report_timeouts(child: Child) -> None:
    for timeout in child.timeouts:
        attributes: dict[str, Value] = {"sandbox.timeout.waited": timeout.waited}
        what = f"timeout after {timeout.waited:.3g} s"
        report_incident(child.execution, "sandbox.timeout", what, attributes, timestamp=timeout.time)


def _report_signals(child: Child) -> None:
    for sent in child.sent_signals.values():
        name = signal_name(sent.number)
        attributes: dict[str, Value] = {SIGNAL: name, "sandbox.signal.after_timeout": sent.after_timeout}
        report_incident(
            child.execution,
            "sandbox.signal",
            f"{name} sent by the program",
            attributes,
            severity="INFO",
            timestamp=sent.time,
        )
