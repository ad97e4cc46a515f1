"""GitLab CI. Read are only the variables that are named here: others, such as CI_REPOSITORY_URL, contain tokens."""

from __future__ import annotations

from collections.abc import Mapping

from sandscope._ci._pipeline_run import Run, address, present, result_of, seconds_of


def detect(environment: Mapping[str, str]) -> Run | None:
    """Return the run of this pipeline."""
    number = environment.get("CI_PIPELINE_ID", "")
    if environment.get("GITLAB_CI") != "true" or not number:
        return None
    name = environment.get("CI_PIPELINE_NAME") or environment.get("CI_PROJECT_NAME", "")
    branch = environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or environment.get("CI_COMMIT_BRANCH")
    source = {
        "cicd.pipeline.name": name,
        "cicd.worker.id": environment.get("CI_RUNNER_ID"),
        "vcs.provider.name": "gitlab",
        "vcs.owner.name": environment.get("CI_PROJECT_NAMESPACE"),
        "vcs.repository.name": environment.get("CI_PROJECT_NAME"),
        "vcs.repository.url.full": address(environment.get("CI_PROJECT_URL")),
        "vcs.ref.head.name": branch or environment.get("CI_COMMIT_REF_NAME"),
        "vcs.ref.head.type": "tag" if environment.get("CI_COMMIT_TAG") else "branch",
        "vcs.ref.head.revision": environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")
        or environment.get("CI_COMMIT_SHA"),
        "vcs.ref.base.name": environment.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"),
        "vcs.change.id": environment.get("CI_MERGE_REQUEST_IID"),
    }
    url = address(environment.get("CI_PIPELINE_URL"))
    return Run(
        name=name,
        key=number,
        identity=present({"cicd.pipeline.run.id": number, "cicd.pipeline.run.url.full": url}),
        source=present(source),
        job=environment.get("CI_JOB_NAME", ""),
        task_url=address(environment.get("CI_JOB_URL")),
        started=seconds_of(environment.get("CI_PIPELINE_CREATED_AT")),
        result=result_of(environment.get("CI_JOB_STATUS")),  # "running", but in `after_script`
    )
