"""Any other CI system: the job says what it is part of by OpenTelemetry's own ``OTEL_RESOURCE_ATTRIBUTES``."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from sandscope._ci._pipeline_run import Run, address, present

_ID, _NAME, _URL = "cicd.pipeline.run.id", "cicd.pipeline.name", "cicd.pipeline.run.url.full"
_TASK = "cicd.pipeline.task.name"


def detect(environment: Mapping[str, str]) -> Run | None:
    """Return the run that the attribute ``cicd.pipeline.run.id`` names."""
    pairs = (item.partition("=") for item in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    told = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
    number, name = told.get(_ID), told.get(_NAME, "")
    if not number:
        return None
    return Run(
        name=name,
        key=f"{name}/{number}",  # many systems number the runs of each pipeline from 1
        identity=present({_ID: number, _URL: address(told.get(_URL))}),
        source={},  # it is in the resource already
        job=told.get(_TASK, ""),
        task_url=address(told.get(_URL)),
    )
