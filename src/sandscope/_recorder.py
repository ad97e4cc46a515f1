"""What an instrumentation needs of a recorder, and how it gets one."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from sandscope._execution import Execution
from sandscope._site import Site


class Scope(NamedTuple):
    """The instrumentation scope that tracer, meter and logger share."""

    name: str
    version: str


class Recorder(Protocol):
    """Turns executions into spans, metrics and log records."""

    def begin(self, site: Site) -> Execution | None:
        """Start an execution now; one that is current is to be ended on the thread that began it.

        Returns:
            None where instrumentation is suppressed. Never raises.
        """


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
