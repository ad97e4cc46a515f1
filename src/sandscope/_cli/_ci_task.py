"""A step of a CI pipeline that `sandscope exec` runs, as the span and the metric that OpenTelemetry has for it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from sandscope import _settings
from sandscope._ci import Result, Run
from sandscope._scope import Scope
from sandscope._verdict import MISSING_EVIDENCE
from sandscope._version import __version__

if TYPE_CHECKING:
    from sandscope._cli._recorded import KeepingRecorder
    from sandscope._recording._recorder import Recorder

SCOPE = Scope("sandscope.ci", __version__)


@cache
def ci_recorder() -> Recorder:
    """Return the recorder of what CI tells. It is kept: one that nobody has takes along what was not exported."""
    from sandscope._recording._choice import get_recorder

    return get_recorder(SCOPE)


@contextmanager
def task(run: Run | None, program: str, recorder: KeepingRecorder) -> Iterator[None]:
    """Record a step while the ``with`` block runs its program.

    Args:
        run: of the pipeline; None if there is none, and nothing is recorded.
        program: the path of the program.
        recorder: keeps the program's execution.
    """
    if run is None or _settings.sdk_disabled():
        yield
        return
    from opentelemetry import trace
    from opentelemetry.trace import StatusCode

    name = f"{run.job}: {os.path.basename(program)}" if run.job else os.path.basename(program)  # noqa: PTH119
    attributes = {
        **run.identity,
        "cicd.pipeline.task.name": name,
        "cicd.pipeline.task.run.id": f"{run.job or name}/{uuid.uuid4().hex[:16]}",
    }
    if run.name:
        attributes["cicd.pipeline.name"] = run.name
    if run.task_url:
        attributes["cicd.pipeline.task.run.url.full"] = run.task_url
    tracer = trace.get_tracer(*SCOPE)
    with tracer.start_as_current_span(name, attributes=attributes, record_exception=False) as span:
        yield
        verdict = None if recorder.execution is None else recorder.execution.verdict
        status, cause = (verdict or MISSING_EVIDENCE).status, (verdict or MISSING_EVIDENCE).cause
        span.set_attribute("cicd.pipeline.task.run.result", _result(status, cause))
        if status != "OK":
            span.set_attribute("error.type", cause)
            span.set_status(StatusCode.ERROR, cause)
            _count_error(run, cause)


def _result(status: str, cause: str) -> Result:
    if status == "IE":
        return "cancellation" if cause == "ie_interrupted" else "error"
    return "success" if status == "OK" else "timeout" if status == "TLE" else "failure"


def _count_error(run: Run, cause: str) -> None:
    from sandscope._metric import PIPELINE_RUN_ERRORS

    attributes = {"error.type": cause} | ({"cicd.pipeline.name": run.name} if run.name else {})
    ci_recorder().measure(PIPELINE_RUN_ERRORS, 1, attributes)
