"""`sandscope ci end`: the root of a pipeline run's trace, and the metric of its duration."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from typing import Any

from sandscope._ci import Run, completed_run, detect, result_of, seconds_of
from sandscope._ci._pipeline_run import Result
from sandscope._cli._ci_recording import recording
from sandscope._errors import SandscopeError
from sandscope._say import say

_FAILED = {"failure", "error", "timeout"}


def end_run(arguments: argparse.Namespace) -> int:
    """Record a run that has ended.

    Raises:
        SandscopeError: if it is not known which run, how it has ended, or when it has begun.
    """
    run = completed_run(os.environ) or detect(os.environ)
    if run is None:
        raise SandscopeError(
            "Cannot end a run: no CI system is found. Set OTEL_RESOURCE_ATTRIBUTES=cicd.pipeline.name=NAME,"
            "cicd.pipeline.run.id=ID."
        )
    result, started = _result(arguments.result, run), _started(arguments.started, run)
    ended = max(started, run.ended or time.time())
    with recording(arguments, run, id_generator=_ids(run)) as is_recorded:
        if is_recorded:
            _record(run, result, started, ended)
    seconds = f"{ended - started:.0f} s"
    say(f"sandscope: {run.name or 'the run'} ended with {result} after {seconds}; trace {run.trace_id}")
    return 0


def _ids(run: Run) -> Any:
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Derived(IdGenerator):
        """The ids that the steps of the run have derived, too."""

        def generate_trace_id(self) -> int:
            return int(run.trace_id, 16)

        def generate_span_id(self) -> int:
            return int(run.span_id, 16)

    return Derived()


def _record(run: Run, result: Result, started: float, ended: float) -> None:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind, StatusCode

    from sandscope._cli._ci_task import SCOPE, ci_recorder
    from sandscope._metric import PIPELINE_RUN_DURATION

    attributes = {"cicd.pipeline.result": result, "cicd.pipeline.action.name": "RUN", **run.identity}
    labels = {"cicd.pipeline.run.state": "executing", "cicd.pipeline.result": result}
    if run.name:
        attributes["cicd.pipeline.name"] = labels["cicd.pipeline.name"] = run.name
    if result in _FAILED:
        attributes["error.type"] = labels["error.type"] = result
    span = trace.get_tracer(*SCOPE).start_span(
        f"RUN {run.name}".strip(),
        context=Context(),
        kind=SpanKind.SERVER,
        attributes=attributes,
        start_time=round(started * 1e9),
    )
    if result in _FAILED:
        span.set_status(StatusCode.ERROR, result)
    span.end(round(ended * 1e9))
    ci_recorder().measure(PIPELINE_RUN_DURATION, ended - started, labels)


def _result(word: str | None, run: Run) -> Result:
    if word is None:
        if run.result is None:
            raise SandscopeError(
                "Cannot end a run: its result is not known here. Give --result, such as "
                "--result ${{ job.status }} in GitHub Actions."
            )
        return run.result
    result = result_of(word)
    if result is None:
        raise SandscopeError(
            f"Cannot end a run with --result {word!r}: it is not a result. Give success, failure, error, timeout, "
            "cancellation or skip."
        )
    return result


def _started(text: str | None, run: Run) -> float:
    if text is not None:
        run = replace(run, started=seconds_of(text))
        if run.started is None:
            raise SandscopeError(
                f"Cannot end a run with --started {text!r}: it is not a time. Give 2026-01-31T12:00:00Z or the seconds "
                "since 1970."
            )
    if run.started is None:
        raise SandscopeError(
            "Cannot end a run: its start is not known here. Give --started, such as the output of "
            "`date +%s` in its first step."
        )
    return run.started
