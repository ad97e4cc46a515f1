"""What an instrumentation needs of a recorder, and how it gets one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from sandscope._emitter import Emitter
from sandscope._execution import Execution
from sandscope._scope import Scope
from sandscope._site import Site


class Recorder(Protocol):
    """Turns executions into spans, metrics and log records."""

    @property
    def emitter(self) -> Emitter:
        """Tracer, meter and logger; to be asked for each time, as the program may replace providers."""

    def begin(self, site: Site) -> Execution | None:
        """Start an execution now; one that is current is to be ended on the thread that began it.

        Returns:
            None where instrumentation is suppressed. Never raises.
        """

    def wrap_method(self, method: Callable[..., Any], attribute: str, default: Site) -> Callable[..., Any]:
        """Return what to patch a method with, so that each call is an execution.

        Args:
            method: a function whose first argument is the instance.
            attribute: of the instance; holds its site.
            default: the site of instances without that attribute.
        """


Begin = Callable[[Site], "Execution | None"]


def recording(begin: Begin, site: Site, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function as one execution: what every wrapper comes down to."""
    execution = begin(site)
    if execution is None:
        return function(*args, **kwargs)
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        execution.fail(error)
        raise
    execution.finish()
    return result


def recording_nothing(_site: Site) -> None:
    """Begin no execution."""


_preferred: Callable[[Scope], Recorder | None] | None = None


def prefer(make: Callable[[Scope], Recorder | None]) -> None:
    """Let recorders of the global providers be made by ``make``, unless that returns None."""
    global _preferred  # noqa: PLW0603 -- one global SDK
    _preferred = make


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

    if _preferred is not None and not any((tracer_provider, meter_provider, logger_provider)):
        recorder = _preferred(scope)
        if recorder is not None:
            return recorder
    return DirectRecorder(scope, tracer_provider, meter_provider, logger_provider)
