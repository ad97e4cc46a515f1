"""Declarations of metrics, and the metrics that every runtime has."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """The declaration of a metric. The ``telemetry.yaml`` of its package declares the same.

    Attributes:
        name: the metric's name, with dots, without the unit and without ``total``.
        instrument: the kind of OpenTelemetry instrument.
        unit: the unit in UCUM notation.
        description: one line of text.
        boundaries: the bucket boundaries of a histogram, in ``unit``.
    """

    name: str
    instrument: Literal["counter", "updowncounter", "histogram", "gauge"]
    unit: str
    description: str
    boundaries: tuple[float, ...] | None = None

    def __hash__(self) -> int:
        # Every measurement looks up its metric: hashing the bucket boundaries each time would be slow.
        return hash(self.name)


_SECONDS = (0.00001, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

EXECUTIONS = Metric("sandbox.executions", "counter", "{execution}", "Executions that ended")
DURATION = Metric(
    "sandbox.execution.duration",
    "histogram",
    "s",
    "Time from the start of an execution to its end",
    tuple(sorted((*_SECONDS, 2.0))),  # loads of models have an objective there
)
ACTIVE = Metric("sandbox.execution.active", "updowncounter", "{execution}", "Executions that are running")
QUEUED = Metric("sandbox.execution.queued", "updowncounter", "{execution}", "Executions that wait in a queue")
WORKERS = Metric("sandbox.workers", "updowncounter", "{worker}", "Workers that run executions, by state")
LIMIT_VIOLATIONS = Metric(
    "sandbox.limit.violations", "counter", "{violation}", "Resource limits that were reached"
)
SECURITY_VIOLATIONS = Metric(
    "sandbox.security.violations", "counter", "{violation}", "Actions that sandboxes refused"
)
SECURITY_EVENTS = Metric(
    "security.events", "counter", "{event}", "Security events that the program has reported"
)
CAPABILITY_REQUESTS = Metric(
    "sandbox.capability.requests", "counter", "{request}", "Capabilities that guests requested"
)
COLD_START = Metric(
    "sandbox.cold_start.duration",
    "histogram",
    "s",
    "Time from the start of an execution until its program begins, by phase",
    _SECONDS,
)
CLEANUPS = Metric("sandbox.cleanups", "counter", "{cleanup}", "Cleanups after executions, by outcome")
CLEANUP_DURATION = Metric(
    "sandbox.cleanup.duration",
    "histogram",
    "s",
    "Time from the end of an execution until it is cleaned up",
    _SECONDS,
)
TELEMETRY_ERRORS = Metric(
    "sandscope.errors",
    "counter",
    "{error}",
    "Internal errors of Sandscope, which are not raised into the program",
)
RECORDS = Metric(
    "sandscope.recorder.records",
    "counter",
    "{record}",
    "Records of the deferred recorder, by outcome",
)
RECOVERED = Metric(
    "sandscope.recovered.executions",
    "counter",
    "{execution}",
    "Executions of processes that died, reported by another process",
)
SPOOL_RECORDS = Metric(
    "sandscope.spool.records",
    "counter",
    "{record}",
    "Records of requests that the Collector did not take at once, by what has become of them",
)
SPOOL_SIZE = Metric("sandscope.spool.size", "gauge", "By", "Bytes on disk of requests that wait to be sent")
SPOOL_REQUESTS = Metric(
    "sandscope.spool.requests", "gauge", "{request}", "Requests on disk that wait to be sent"
)
SPOOL_OLDEST = Metric(
    "sandscope.spool.oldest", "gauge", "s", "Age of the oldest request that waits to be sent"
)
RELAY_RECORDS = Metric(
    "sandscope.relay.records",
    "counter",
    "{record}",
    "Records that children sent through this process, by what has become of them",
)

GUEST_COUNT = Metric("sandbox.guest.count", "counter", "{count}", "Counts that guests reported")
GUEST_REFUSED = Metric("sandbox.guest.refused", "counter", "{record}", "Telemetry of guests that was refused")

HEALTH_STATUS = Metric(
    "health.check.status",
    "gauge",
    "",
    "Status of a health check: 1 healthy, 0.5 degraded, 0 unhealthy; none if it is not known",
)
HEALTH_USAGE = Metric("health.check.usage", "gauge", "%", "How much of what a health check watches is in use")
HEALTH_USED = Metric("health.check.used", "gauge", "By", "Bytes in use of what a health check watches")
HEALTH_DURATION = Metric("health.check.duration", "histogram", "s", "Time that a health check took", _SECONDS)

_MINUTES = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)

PIPELINE_RUN_DURATION = Metric(
    "cicd.pipeline.run.duration",
    "histogram",
    "s",
    "Duration of a pipeline run grouped by pipeline, state and result",
    _MINUTES,
)
PIPELINE_RUN_ERRORS = Metric(
    "cicd.pipeline.run.errors", "counter", "{error}", "Steps of pipeline runs that failed, by cause"
)
VULNERABILITIES = Metric(
    "security.vulnerabilities",
    "counter",
    "{vulnerability}",
    "Known vulnerabilities that a scan has found",
)
SCANNED_PACKAGES = Metric(
    "security.scanned.packages", "counter", "{package}", "Packages that a scan has looked at"
)

TEST_DURATION = Metric(
    "test.case.duration", "histogram", "s", "Time that a test took with its fixtures, by result", _SECONDS
)
TEST_RUN_DURATION = Metric(
    "test.suite.run.duration", "histogram", "s", "Time that a test session took, by status", _MINUTES
)

COMMON = (
    EXECUTIONS,
    DURATION,
    ACTIVE,
    QUEUED,
    WORKERS,
    LIMIT_VIOLATIONS,
    SECURITY_VIOLATIONS,
    SECURITY_EVENTS,
    CAPABILITY_REQUESTS,
    COLD_START,
    CLEANUPS,
    CLEANUP_DURATION,
    TELEMETRY_ERRORS,
    RECORDS,
    RECOVERED,
    SPOOL_RECORDS,
    SPOOL_SIZE,
    SPOOL_REQUESTS,
    SPOOL_OLDEST,
    RELAY_RECORDS,
    GUEST_COUNT,
    GUEST_REFUSED,
    HEALTH_STATUS,
    HEALTH_USAGE,
    HEALTH_USED,
    HEALTH_DURATION,
    PIPELINE_RUN_DURATION,
    PIPELINE_RUN_ERRORS,
    VULNERABILITIES,
    SCANNED_PACKAGES,
    TEST_DURATION,
    TEST_RUN_DURATION,
)
