"""Telemetry of this process: it records the program that it starts, as the instrumentation of subprocess does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sandscope import _settings
from sandscope._ci import Run
from sandscope._cli._own_sdk import set_up
from sandscope._errors import SandscopeError

if TYPE_CHECKING:
    from sandscope._execution import Execution, Site
    from sandscope._recording._recorder import Recorder


class KeepingRecorder:
    """A recorder that keeps the execution of the program, for what is said about it at the end.

    Attributes:
        execution: the last that was begun, or None.
    """

    def __init__(self, recorder: Recorder) -> None:
        """Pass everything on to another recorder."""
        self._recorder = recorder
        self.execution: Execution | None = None

    def begin(self, site: Site) -> Execution:
        """Begin an execution; one that is not recorded has a verdict, too."""
        from sandscope._not_recorded import NotRecorded

        self.execution = self._recorder.begin(site) or NotRecorded(site)
        return self.execution

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorder, name)


@contextmanager
def recorded(run: Run | None = None) -> Iterator[KeepingRecorder]:
    """Record the child that is started in the ``with`` block, and export everything at its end.

    Args:
        run: of the CI pipeline, whose trace it is in unless ``TRACEPARENT`` names another.

    Raises:
        SandscopeError: if the instrumentation of subprocess is not installed, or if a setting is not valid.
    """
    try:
        from sandscope_instrumentation_subprocess import SubprocessInstrumentor
    except ModuleNotFoundError as error:
        raise SandscopeError(
            f"Cannot record a program: {error}. Run `pip install 'sandscope[subprocess]'`."
        ) from error
    from sandscope._setup._defaults import temporary_environment

    disabled = _settings.sdk_disabled()
    if not disabled:
        set_up(run)
    instrumentor = SubprocessInstrumentor()
    recorder = KeepingRecorder(_recorder(instrumentor.scope, disabled=disabled))
    # The verdict is wanted also where nothing is recorded.
    with temporary_environment({"OTEL_SDK_DISABLED": "false"} if disabled else {}):
        instrumentor.instrument(recorder=recorder)
    try:
        yield recorder
    finally:
        from sandscope._own_process import _at_exit

        instrumentor.uninstrument()
        _at_exit.run_now()


def _recorder(scope: Any, *, disabled: bool) -> Recorder:
    if not disabled:
        from sandscope._recording._choice import get_recorder

        return get_recorder(scope)
    from opentelemetry._logs import NoOpLoggerProvider
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.trace import NoOpTracerProvider

    from sandscope._recording._direct_recorder import DirectRecorder

    return DirectRecorder(scope, NoOpTracerProvider(), NoOpMeterProvider(), NoOpLoggerProvider())
