"""What the user's settings ask to observe of each child: its controls, and whether it abuses resources."""

from __future__ import annotations

from sandscope.instrumentation import (
    Execution,
    Metric,
    Recorder,
    Value,
    Verdict,
    report_error,
    report_incident,
)
from sandscope_instrumentation_subprocess._measures._abuse import Abuse, Pattern
from sandscope_instrumentation_subprocess._measures._controls import Controls
from sandscope_instrumentation_subprocess._settings import SubprocessSettings

CONTROL_DEGRADED = Metric(
    "sandbox.control.degraded", "counter", "{control}", "Expected controls that executions were not under"
)
ABUSE_PATTERNS = Metric(
    "sandbox.abuse.patterns",
    "counter",
    "{pattern}",
    "Abuse patterns that were found, by configured thresholds",
)

_SITE: dict[str, Value] = {"sandbox.runtime": "subprocess", "sandbox.operation": "process"}
_NOT_EXPLAINED = {"OK", "RE", "SIG"}
"""The statuses that abuse replaces: the child chose how it ended, or no limit explains it."""


class Samples:
    """What is observed of one child."""

    def __init__(self, settings: SubprocessSettings, program: str) -> None:
        """Begin without an observation.

        Args:
            settings: say what is observed.
            program: the file name of the executable.
        """
        self._controls = Controls(program, settings.controls)
        self._abuse = Abuse(settings.abuse_processes, settings.abuse_descriptors)

    def take(self, pid: int, *, at_start: bool = False) -> None:
        """Observe a running child. Never raises.

        Args:
            pid: of the child.
            at_start: whether it has just started.
        """
        try:
            self._controls.take(pid, at_start=at_start)
            self._abuse.take(pid, at_start=at_start)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.samples", error)

    def take_zombie(self, pid: int) -> None:
        """Observe a child between its exit and its reaping. Never raises."""
        try:
            self._controls.take_zombie(pid)
            self._abuse.take_zombie()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.samples", error)

    def report(self, execution: Execution, verdict: Verdict, recorder: Recorder) -> Verdict:
        """Report what was found, and return the verdict: abuse if nothing else explains how the child has ended.

        Args:
            execution: of the child, which has ended.
            verdict: on it, by the other evidence.
            recorder: counts controls and patterns.
        """
        missing, patterns = self._controls.missing, self._abuse.patterns
        if missing:
            _report_missing(execution, missing, recorder)
        for pattern in patterns:
            _report_abuse(execution, pattern, recorder)
        if not patterns or verdict.status not in _NOT_EXPLAINED:
            return verdict
        return Verdict("ABUSE", "guest", f"abuse_{patterns[0].name}")


def _report_missing(execution: Execution, missing: tuple[str, ...], recorder: Recorder) -> None:
    for control in missing:
        recorder.measure(CONTROL_DEGRADED, 1, {**_SITE, "sandbox.control": control})
    attributes: dict[str, Value] = {"sandbox.control.missing": missing}
    execution.set_attributes(attributes)
    report_incident(execution, "sandbox.control", f"without {', '.join(missing)}", attributes)


def _report_abuse(execution: Execution, pattern: Pattern, recorder: Recorder) -> None:
    attributes: dict[str, Value] = {"sandbox.abuse.pattern": pattern.name}
    recorder.measure(ABUSE_PATTERNS, 1, {**_SITE, **attributes})
    attributes |= {"sandbox.resource.usage": pattern.usage, "sandbox.resource.limit": pattern.threshold}
    report_incident(execution, "sandbox.abuse", pattern.name, attributes)
