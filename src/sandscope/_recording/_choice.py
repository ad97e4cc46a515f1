"""Chooses the recorder of an instrumentation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

# Imported when the first recorder is created.
if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from sandscope._recording._recorder import Recorder
    from sandscope._scope import Scope

_waiting: list[Callable[[], object]] = []
_preferred: Callable[[Scope], Recorder | None] | None = None


def prefer(make: Callable[[Scope], Recorder | None]) -> None:
    """Use ``make`` to create recorders for the global providers, unless it returns None."""
    global _preferred  # noqa: PLW0603 -- one global SDK
    _preferred = make


def before_first_recorder(action: Callable[[], object]) -> None:
    """Call ``action`` once, before the first recorder of this process is created: when executions are recorded."""
    _waiting.append(action)


def get_recorder(
    scope: Scope,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
) -> Recorder:
    """Return a recorder for one instrumentation.

    Args:
        scope: the instrumentation scope.
        tracer_provider: receives the spans; the global provider by default.
        meter_provider: receives the metrics; the global provider by default.
        logger_provider: receives the log records; the global provider by default.
    """
    while _waiting:
        with suppress(IndexError):  # another thread was first
            _waiting.pop()()
    if _preferred is not None and not any((tracer_provider, meter_provider, logger_provider)):
        recorder = _preferred(scope)
        if recorder is not None:
            return recorder
    from sandscope._recording._direct_recorder import DirectRecorder

    return DirectRecorder(scope, tracer_provider, meter_provider, logger_provider)
