"""What a metric is, whichever recorder writes it."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """The declaration of one metric; the same facts stand in a ``telemetry.yaml``.

    Attributes:
        name: dotted, without unit or ``total``.
        instrument: which kind of OpenTelemetry instrument.
        unit: UCUM.
        description: one line.
        boundaries: a histogram's bucket bounds, in ``unit``.
    """

    name: str
    instrument: Literal["counter", "updowncounter", "histogram", "gauge"]
    unit: str
    description: str
    boundaries: tuple[float, ...] | None = None

    def __hash__(self) -> int:
        # Each measurement looks its metric up: not to hash the bounds of a histogram every time.
        return hash(self.name)


_SECONDS = (0.00001, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

EXECUTIONS = Metric("sandbox.executions", "counter", "{execution}", "Executions that ended")
DURATION = Metric(
    "sandbox.execution.duration", "histogram", "s", "Time from the start of an execution to its end", _SECONDS
)
ACTIVE = Metric("sandbox.execution.active", "updowncounter", "{execution}", "Executions that run now")
LIMIT_VIOLATIONS = Metric(
    "sandbox.limit.violations", "counter", "{violation}", "Resource limits that were reached"
)
SECURITY_VIOLATIONS = Metric(
    "sandbox.security.violations", "counter", "{violation}", "What sandboxes refused"
)
CAPABILITY_REQUESTS = Metric(
    "sandbox.capability.requests", "counter", "{request}", "Capabilities that guests asked for"
)
TELEMETRY_ERRORS = Metric(
    "sandscope.errors", "counter", "{error}", "Errors inside Sandscope that were kept away from the program"
)
RECORDS = Metric(
    "sandscope.recorder.records",
    "counter",
    "{record}",
    "Records of the deferred recorder, by what became of them",
)

GUEST_COUNT = Metric("sandbox.guest.count", "counter", "{count}", "What guests have counted themselves")
GUEST_REFUSED = Metric(
    "sandbox.guest.refused", "counter", "{record}", "What guests wanted to emit and was not taken"
)

COMMON = (
    EXECUTIONS,
    DURATION,
    ACTIVE,
    LIMIT_VIOLATIONS,
    SECURITY_VIOLATIONS,
    CAPABILITY_REQUESTS,
    TELEMETRY_ERRORS,
    RECORDS,
    GUEST_COUNT,
    GUEST_REFUSED,
)
