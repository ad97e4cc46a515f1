"""GitHub Actions. Read are only the variables and the fields of the event that are named here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandscope._ci._pipeline_run import Run, address, present, result_of, seconds_of

_MAX_EVENT = 8 << 20
"""Bytes; the payloads of GitHub are smaller."""


def detect(environment: Mapping[str, str]) -> Run | None:
    """Return the run of this workflow."""
    number = environment.get("GITHUB_RUN_ID", "")
    if environment.get("GITHUB_ACTIONS") != "true" or not number:
        return None
    attempt = environment.get("GITHUB_RUN_ATTEMPT") or "1"
    name = environment.get("GITHUB_WORKFLOW", "")
    repository = address(f"{environment.get('GITHUB_SERVER_URL')}/{environment.get('GITHUB_REPOSITORY')}")
    url = f"{repository}/actions/runs/{number}/attempts/{attempt}" if repository else ""
    owner, _, project = environment.get("GITHUB_REPOSITORY", "").partition("/")
    head = environment.get("GITHUB_HEAD_REF")  # only of a pull request
    change = re.fullmatch(r"refs/pull/(\d+)/\w+", environment.get("GITHUB_REF", ""))
    source = {
        "cicd.pipeline.name": name,
        "cicd.worker.name": environment.get("RUNNER_NAME"),
        "vcs.provider.name": "github",
        "vcs.owner.name": owner,
        "vcs.repository.name": project,
        "vcs.repository.url.full": repository,
        "vcs.ref.head.name": head or environment.get("GITHUB_REF_NAME"),
        "vcs.ref.head.type": "branch" if head else environment.get("GITHUB_REF_TYPE"),
        # Of a pull request, GITHUB_SHA is a merge that nobody has made.
        "vcs.ref.head.revision": None if head else environment.get("GITHUB_SHA"),
        "vcs.ref.base.name": environment.get("GITHUB_BASE_REF"),
        "vcs.change.id": change[1] if change else None,
    }
    return Run(
        name=name,
        key=f"{number}{attempt}",
        identity=present({"cicd.pipeline.run.id": number, "cicd.pipeline.run.url.full": url}),
        source=present(source),
        job=environment.get("GITHUB_JOB", ""),
        task_url=url,
        started=_job_started(environment),
    )


def completed(environment: Mapping[str, str]) -> Run | None:
    """Return the run whose end has started this one (``on: workflow_run``), as the event tells it."""
    if environment.get("GITHUB_EVENT_NAME") != "workflow_run":
        return None
    payload = _event(environment)
    told, repository = payload.get("workflow_run"), payload.get("repository")
    if not isinstance(told, dict) or not isinstance(repository, dict) or told.get("status") != "completed":
        return None
    number, attempt = told.get("id"), told.get("run_attempt") or 1
    url = address(str(told.get("html_url") or ""))
    owner = repository.get("owner")
    source = {
        "cicd.pipeline.name": str(told.get("name") or ""),
        "vcs.provider.name": "github",
        "vcs.owner.name": str(owner.get("login") or "") if isinstance(owner, dict) else None,
        "vcs.repository.name": str(repository.get("name") or ""),
        "vcs.repository.url.full": address(str(repository.get("html_url") or "")),
        "vcs.ref.head.name": str(told.get("head_branch") or ""),
        "vcs.ref.head.revision": str(told.get("head_sha") or ""),
    }
    return Run(
        name=str(told.get("name") or ""),
        key=f"{number}{attempt}",
        identity=present(
            {
                "cicd.pipeline.run.id": str(number),
                "cicd.pipeline.run.url.full": f"{url}/attempts/{attempt}" if url else "",
            }
        ),
        source=present(source),
        started=seconds_of(str(told.get("run_started_at"))),
        ended=seconds_of(str(told.get("updated_at"))),
        result=result_of(str(told.get("conclusion"))),
    )


def _event(environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        with Path(environment["GITHUB_EVENT_PATH"]).open("rb") as file:
            payload = json.loads(file.read(_MAX_EVENT))
    except (KeyError, OSError, ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _job_started(environment: Mapping[str, str]) -> float | None:
    """Return when the runner has written the event for this job: before its first step."""
    try:
        return os.stat(environment["GITHUB_EVENT_PATH"]).st_mtime  # noqa: PTH116 -- as is
    except (KeyError, OSError):
        return None
