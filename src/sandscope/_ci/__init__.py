"""The run of a CI pipeline that this process is part of, from an allow-list of environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from sandscope._ci import _declared, _github, _gitlab
from sandscope._ci._pipeline_run import Result, Run, result_of, seconds_of

__all__ = ["Result", "Run", "completed_run", "detect", "result_of", "seconds_of"]


def detect(environment: Mapping[str, str]) -> Run | None:
    """Return the run that an environment describes: of GitHub Actions, GitLab CI or ``OTEL_RESOURCE_ATTRIBUTES``."""
    return _github.detect(environment) or _gitlab.detect(environment) or _declared.detect(environment)


def completed_run(environment: Mapping[str, str]) -> Run | None:
    """Return the completed run that has started this one: by ``on: workflow_run`` of GitHub Actions."""
    return _github.completed(environment)
