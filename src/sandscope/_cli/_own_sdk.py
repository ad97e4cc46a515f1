"""The SDK of this process, for commands that record something themselves."""

from __future__ import annotations

import os
from typing import Any

from sandscope._ci import Run

_SERVICE, _SERVICE_OF_CI = "sandscope", "ci"


def set_up(run: Run | None, **arguments: Any) -> None:
    """Set up the SDK, unless ``opentelemetry-instrument`` has started this process.

    The telemetry is in the trace that ``TRACEPARENT`` names, else in that of the run.

    Args:
        run: of the CI pipeline, or None.
        arguments: of OpenTelemetry's configurator.
    """
    from opentelemetry import trace

    if "Proxy" not in type(trace.get_tracer_provider()).__name__:
        return
    from sandscope._child._propagation import continue_parent_trace
    from sandscope._setup._configurator import SandscopeConfigurator
    from sandscope._setup._defaults import temporary_environment
    from sandscope._setup._in_ci import ci_variables

    service = _SERVICE if run is None else _SERVICE_OF_CI
    with temporary_environment(ci_variables(os.environ, run, service)):
        continue_parent_trace()
        SandscopeConfigurator().configure(**arguments)  # type: ignore[no-untyped-call] # untyped upstream
