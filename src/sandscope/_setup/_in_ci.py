"""What the SDK is told in a CI job, while it is being set up."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from sandscope._ci import Run


def ci_variables(environment: Mapping[str, str], run: Run | None, service: str) -> dict[str, str]:
    """Return variables that put the telemetry of this process into a run's trace, unless ``TRACEPARENT`` is set.

    Args:
        environment: what is set; it takes precedence.
        run: of the CI pipeline, or None.
        service: the name of the service.
    """
    told = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    variables = {}
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in told:
        variables["OTEL_SERVICE_NAME"] = service
    if run is not None:
        found = [f"{name}={quote(value, safe='/:')}" for name, value in run.source.items()]
        variables["OTEL_RESOURCE_ATTRIBUTES"] = ",".join([*found, *filter(None, [told])])  # the last one wins
        if not environment.get("TRACEPARENT"):
            variables["TRACEPARENT"] = run.traceparent
    return variables
