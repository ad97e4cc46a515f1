"""What an instrumentation needs of a recorder, and how it gets one."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from sandscope._execution import Execution, Site
from sandscope._verdict import OK, Verdict


class Scope(NamedTuple):
    """The instrumentation scope that tracer, meter and logger share."""

    name: str
    version: str


class Recorder(Protocol):
    """Turns executions into spans, metrics and log records. No method raises."""

    def begin(self, site: Site, *, attach: bool = True) -> Execution:
        """Start an execution now.

        Args:
            site: what is known of it.
            attach: make it current on this thread until it ends, so that spans inside become its children.
        """

    def end(self, execution: Execution, verdict: Verdict = OK, *, end_time: int | None = None) -> None:
        """End an execution; a second end is ignored.

        Args:
            execution: what ``begin`` returned; end an attached one on the thread that began it.
            verdict: from evidence.
            end_time: nanoseconds since 1970, if it ended before now.
        """

    def fail(self, execution: Execution, error: BaseException) -> None:
        """End an execution with the exception that ended it; its site knows the verdict."""


def get_recorder(
    scope: Scope,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
) -> Recorder:
    """Return a recorder for one instrumentation.

    Args:
        scope: name and version of the instrumentation.
        tracer_provider: where spans go; the global provider by default.
        meter_provider: where metrics go; the global provider by default.
        logger_provider: where log records go; the global provider by default.
    """
    from sandscope._direct import DirectRecorder

    return DirectRecorder(scope, tracer_provider, meter_provider, logger_provider)
