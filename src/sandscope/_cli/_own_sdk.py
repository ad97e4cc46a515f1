"""The SDK of this process, for commands that record something themselves."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

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
    from sandscope._propagation import continue_parent_trace
    from sandscope._setup._configurator import SandscopeConfigurator
    from sandscope._setup._defaults import temporary_environment

    with temporary_environment(_variables(run)):
        continue_parent_trace()
        SandscopeConfigurator().configure(**arguments)  # type: ignore[no-untyped-call] # untyped upstream


def _variables(run: Run | None) -> dict[str, str]:
    told = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    variables = {}
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in told:
        variables["OTEL_SERVICE_NAME"] = _SERVICE if run is None else _SERVICE_OF_CI
    if run is not None:
        # What the user has set comes last, and wins.
        found = [f"{name}={quote(value, safe='/:')}" for name, value in run.source.items()]
        variables["OTEL_RESOURCE_ATTRIBUTES"] = ",".join([*found, *filter(None, [told])])
        if not os.environ.get("TRACEPARENT"):
            variables["TRACEPARENT"] = run.traceparent
    return variables
