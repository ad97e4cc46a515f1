"""What happened to a child while it ran, told when it has ended: timeouts, signals, the limit that it reached.

Not at once: a signal may be sent by a signal handler, which must not wait for the locks of an SDK.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from sandscope.instrumentation import (
    RESOURCE,
    SECURITY,
    Recorder,
    Value,
    Verdict,
    report_incident,
)
from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._measures._backends import count_backends
from sandscope_instrumentation_subprocess._measures._limit_numbers import attributes_of

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._evidence import Evidence

SIGNAL = "sandbox.process.signal"


def conclude(child: Child, verdict: Verdict, recorder: Recorder, evidence: Evidence | None = None) -> Verdict:
    """Report what happened to a child, and return the verdict with what the user's settings ask for.

    Args:
        child: has ended.
        verdict: on the child, by the evidence of its end.
        recorder: counts what is reported.
        evidence: of the end; None if none was collected.
    """
    _report_timeouts(child)
    _report_signals(child)
    count_backends(child, recorder)
    if child.samples is not None:
        verdict = child.samples.report(child.execution, verdict, recorder)
    if verdict.limit is not None:
        attributes = attributes_of(verdict.limit, child, evidence)
        report_incident(child.execution, RESOURCE, verdict.cause, attributes)
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
