"""``sandscope exec`` and ``sandscope ci`` in a CI job: one trace for a run, its end, and what scanners have found."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import BIN, PATIENCE, Contract, OtlpSink, clean_environment
from sandscope import _ci

pytestmark = pytest.mark.usefixtures("default_signals")

CANARY = "canary-8f1b"
GITHUB = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_RUN_ID": "12345",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_WORKFLOW": "Build, test",
    "GITHUB_JOB": "test",
    "GITHUB_REPOSITORY": "owner/project",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_REF": "refs/pull/7/merge",
    "GITHUB_HEAD_REF": "feature",
    "GITHUB_BASE_REF": "main",
    "GITHUB_SHA": "f00d",
    "RUNNER_NAME": "runner 1",
    "GITHUB_TOKEN": CANARY,
    "ACTIONS_RUNTIME_TOKEN": CANARY,
    "GITHUB_ACTOR": CANARY,
}
GITLAB = {
    "CI": "true",
    "GITLAB_CI": "true",
    "CI_PIPELINE_ID": "77",
    "CI_PIPELINE_URL": f"https://user:{CANARY}@gitlab.example/group/project/-/pipelines/77?token={CANARY}",
    "CI_PIPELINE_CREATED_AT": "2026-01-31T12:00:00Z",
    "CI_PROJECT_NAME": "project",
    "CI_PROJECT_URL": "https://gitlab.example/group/project",
    "CI_JOB_NAME": "unit",
    "CI_JOB_URL": "https://gitlab.example/group/project/-/jobs/9",
    "CI_COMMIT_BRANCH": "main",
    "CI_COMMIT_SHA": "f00d",
    "CI_JOB_STATUS": "running",
    "CI_JOB_TOKEN": CANARY,
    "CI_REPOSITORY_URL": f"https://gitlab-ci-token:{CANARY}@gitlab.example/group/project.git",
}
OTHER = {
    "CI": "true",
    "OTEL_RESOURCE_ATTRIBUTES": "cicd.pipeline.name=nightly%20build,cicd.pipeline.run.id=41",
}
SYSTEMS = {"GitHub Actions": GITHUB, "GitLab CI": GITLAB, "another": OTHER}


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


def sandscope(sink: OtlpSink, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "sandscope", *words],
        env=clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **variables),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


def values(span: Any) -> dict[str, str]:
    return {a.key: a.value.string_value for a in span.attributes}


def labels(sink: OtlpSink, metric: str) -> list[dict[str, str]]:
    return [values(point) for point in sink.points(metric)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_steps_and_the_end_of_a_run_are_one_trace(sink: OtlpSink, system: str) -> None:
    variables = SYSTEMS[system]
    good = sandscope(sink, "exec", "--", "true", **variables)
    bad = sandscope(sink, "exec", "--", "sh", "-c", f"exit 3 # {CANARY}", **variables)
    end = sandscope(sink, "ci", "end", "--result", "failed", "--started", "2026-01-31T12:00:00Z", **variables)
    assert (good.returncode, bad.returncode, end.returncode) == (0, 3, 0), end.stderr
    (root,) = [span for span in sink.spans if span.name.startswith("RUN ")]
    assert root.kind == root.SPAN_KIND_SERVER
    assert not root.parent_span_id
    assert (
        {span.trace_id for span in sink.spans} == {root.trace_id} == {record.trace_id for record in sink.logs}
    )
    tasks = [span for span in sink.spans if "cicd.pipeline.task.name" in values(span)]
    assert [values(task)["cicd.pipeline.task.run.result"] for task in tasks] == ["success", "failure"]
    assert {task.parent_span_id for task in tasks} == {root.span_id}
    assert {span.parent_span_id for span in sink.spans if span not in [root, *tasks]} == {
        task.span_id for task in tasks
    }
    assert len({values(task)["cicd.pipeline.task.run.id"] for task in tasks}) == 2
    assert values(tasks[1])["error.type"] == "re_nonzero_exit"
    assert values(root)["cicd.pipeline.result"] == "failure" == values(root)["error.type"]
    assert root.start_time_unix_nano == 1_769_860_800_000_000_000
    assert {resource["service.name"] for resource in sink.resources} == {"ci"}
    assert CANARY not in str(
        [sink.spans, sink.metrics, sink.logs, sink.resources, good.stderr, bad.stderr, end.stderr]
    )


def test_steps_that_failed_are_counted_by_their_cause(sink: OtlpSink) -> None:
    for program in ("true", "false", "false"):
        sandscope(sink, "exec", "--", program, **GITHUB)
    (told,) = {tuple(sorted(each.items())) for each in labels(sink, "cicd.pipeline.run.errors")}
    assert dict(told) == {"cicd.pipeline.name": "Build, test", "error.type": "re_nonzero_exit"}
    assert sink.total("cicd.pipeline.run.errors") == 2


def test_what_github_tells(sink: OtlpSink) -> None:
    assert sandscope(sink, "exec", "--", "true", **GITHUB).returncode == 0
    (task,) = [span for span in sink.spans if span.name == "test: true"]
    url = "https://github.example/owner/project/actions/runs/12345/attempts/2"
    told = values(task)
    assert told.pop("cicd.pipeline.task.run.id").startswith("test/")
    assert told == {
        "cicd.pipeline.name": "Build, test",
        "cicd.pipeline.run.id": "12345",
        "cicd.pipeline.run.url.full": url,
        "cicd.pipeline.task.name": "test: true",
        "cicd.pipeline.task.run.result": "success",
        "cicd.pipeline.task.run.url.full": url,
    }
    expected = {
        "cicd.pipeline.name": "Build, test",
        "cicd.worker.name": "runner 1",
        "vcs.provider.name": "github",
        "vcs.owner.name": "owner",
        "vcs.repository.name": "project",
        "vcs.repository.url.full": "https://github.example/owner/project",
        "vcs.ref.head.name": "feature",
        "vcs.ref.head.type": "branch",
        "vcs.ref.base.name": "main",
        "vcs.change.id": "7",
    }
    assert expected.items() <= sink.resources[0].items()
    assert "vcs.ref.head.revision" not in sink.resources[0]  # GITHUB_SHA is a merge that nobody has made


def test_what_gitlab_tells(sink: OtlpSink) -> None:
    assert sandscope(sink, "exec", "--", "true", **GITLAB).returncode == 0
    (task,) = [span for span in sink.spans if span.name == "unit: true"]
    assert values(task)["cicd.pipeline.run.url.full"] == "https://gitlab.example/group/project/-/pipelines/77"
    assert values(task)["cicd.pipeline.task.run.url.full"] == "https://gitlab.example/group/project/-/jobs/9"
    assert sink.resources[0]["vcs.ref.head.revision"] == "f00d"
    assert sink.resources[0]["cicd.pipeline.name"] == "project"


def test_the_ids_are_those_of_the_collectors_receiver_for_github() -> None:
    run = _ci.detect(GITHUB)
    assert run is not None
    assert run.trace_id == hashlib.sha256(b"123452t").hexdigest()[:32]
    assert run.span_id == hashlib.sha256(b"123452s").hexdigest()[16:32]


def test_a_traceparent_comes_first(sink: OtlpSink) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert sandscope(sink, "exec", "--", "true", TRACEPARENT=parent, **GITHUB).returncode == 0
    assert {span.trace_id.hex() for span in sink.spans} == {"0af7651916cd43dd8448eb211c80319c"}


def test_a_program_sees_its_own_variables_and_the_trace(sink: OtlpSink) -> None:
    run = sandscope(
        sink, "exec", "--", "sh", "-c", "echo $TRACEPARENT; echo $OTEL_RESOURCE_ATTRIBUTES", **GITHUB
    )
    traceparent, attributes = run.stdout.split("\n")[:2]
    assert traceparent.split("-")[2] == sink.span("sh").span_id.hex()
    assert attributes == ""


def test_without_a_run_nothing_is_added(sink: OtlpSink) -> None:
    assert sandscope(sink, "exec", "--", "true", CI="true").returncode == 0
    assert sink.names() == ["true"]
    assert sink.resources[0]["service.name"] == "sandscope"


def test_the_users_own_attributes_win(sink: OtlpSink) -> None:
    own = "service.name=builds,vcs.repository.name=mine"
    assert sandscope(sink, "exec", "--", "true", OTEL_RESOURCE_ATTRIBUTES=own, **GITHUB).returncode == 0
    assert sink.resources[0]["service.name"] == "builds"
    assert sink.resources[0]["vcs.repository.name"] == "mine"
    assert sink.resources[0]["vcs.owner.name"] == "owner"


def test_a_job_on_github_knows_when_it_began(sink: OtlpSink, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text("{}")
    os.utime(event, (time.time() - 100, time.time() - 100))
    end = sandscope(sink, "ci", "end", "--result", "success", GITHUB_EVENT_PATH=str(event), **GITHUB)
    assert end.returncode == 0
    root = sink.span("RUN Build, test")
    assert 99e9 < root.end_time_unix_nano - root.start_time_unix_nano < 100e9 + PATIENCE * 1e9
    (point,) = sink.points("cicd.pipeline.run.duration")
    assert values(point) == {
        "cicd.pipeline.name": "Build, test",
        "cicd.pipeline.run.state": "executing",
        "cicd.pipeline.result": "success",
    }
    assert 99 < point.sum < 100 + PATIENCE


def test_a_workflow_run_tells_of_the_completed_run(sink: OtlpSink, tmp_path: Path) -> None:
    told = {
        "id": 999,
        "run_attempt": 1,
        "name": "Nightly",
        "status": "completed",
        "conclusion": "timed_out",
        "run_started_at": "2026-01-31T12:00:00Z",
        "updated_at": "2026-01-31T12:01:30Z",
        "html_url": "https://github.example/owner/project/actions/runs/999",
        "head_branch": "main",
        "head_sha": "beef",
        "actor": {"login": CANARY},
        "head_commit": {"message": CANARY, "author": {"email": CANARY}},
    }
    project = {
        "name": "project",
        "html_url": "https://github.example/owner/project",
        "owner": {"login": "owner"},
    }
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"workflow_run": told, "repository": project}))
    variables = {**GITHUB, "GITHUB_EVENT_NAME": "workflow_run", "GITHUB_EVENT_PATH": str(event)}
    assert sandscope(sink, "ci", "end", **variables).returncode == 0
    root = sink.span("RUN Nightly")
    assert root.trace_id.hex() == hashlib.sha256(b"9991t").hexdigest()[:32]
    assert root.end_time_unix_nano - root.start_time_unix_nano == 90_000_000_000
    assert values(root)["cicd.pipeline.result"] == "timeout"
    told_of = {
        "cicd.pipeline.name": "Nightly",
        "vcs.repository.name": "project",
        "vcs.ref.head.name": "main",
        "vcs.ref.head.revision": "beef",
    }
    assert told_of.items() <= sink.resources[0].items()
    assert CANARY not in str([sink.spans, sink.metrics, sink.resources])


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["--result", "success"], {}, "no CI system is found. Set OTEL_RESOURCE_ATTRIBUTES="),
        ([], GITLAB, "its result is not known here. Give --result"),
        (["--result", "fine"], GITLAB, "it is not a result. Give success, failure"),
        (["--result", "success"], OTHER, "its start is not known here. Give --started"),
        (["--result", "success", "--started", "noon"], OTHER, "it is not a time. Give 2026-01-31T12:00:00Z"),
    ],
)
def test_what_is_not_known_is_said(
    sink: OtlpSink, words: list[str], variables: dict[str, str], said: str
) -> None:
    end = sandscope(sink, "ci", "end", *words, **variables)
    assert end.returncode == 2
    assert said in end.stderr
    assert sink.spans == []


def test_nothing_is_sent_if_the_sdk_is_disabled(sink: OtlpSink, tmp_path: Path) -> None:
    report = tmp_path / "audit.json"
    report.write_text(json.dumps(AUDIT))
    for words in (["end", "--result", "success"], ["vulnerabilities", str(report)]):
        assert sandscope(sink, "ci", *words, OTEL_SDK_DISABLED="true", **GITLAB).returncode == 0
    assert sandscope(sink, "exec", "--", "true", OTEL_SDK_DISABLED="true", **GITLAB).returncode == 0
    assert sink.requests == 0


def test_a_job_goes_on_if_nothing_answers() -> None:
    with OtlpSink() as gone:
        pass
    end = sandscope(gone, "ci", "end", "--result", "success", SANDSCOPE_EXIT_TIMEOUT="1", **GITLAB)
    assert end.returncode == 0
    assert "ended with success" in end.stderr


AUDIT = {
    "dependencies": [
        {"name": "fine", "version": "1.0", "vulns": []},
        {"name": "private", "skip_reason": f"not on PyPI: {CANARY}"},
        {
            "name": "flask",
            "version": "0.5",
            "vulns": [
                {
                    "id": "PYSEC-2019-179",
                    "fix_versions": ["1.0"],
                    "aliases": ["CVE-2019-1010083"],
                    "description": CANARY,
                },
                {"id": "PYSEC-2018-66", "fix_versions": [], "aliases": [], "description": CANARY},
            ],
        },
    ],
    "fixes": [],
}


def test_vulnerabilities_are_counted_by_their_id(sink: OtlpSink, tmp_path: Path) -> None:
    report = tmp_path / "audit.json"
    report.write_text(json.dumps(AUDIT))
    run = sandscope(sink, "ci", "vulnerabilities", str(report), **GITHUB)
    assert run.returncode == 0
    assert (
        "2 packages, 2 known vulnerabilities: PYSEC-2018-66 in flask 0.5, PYSEC-2019-179 in flask 0.5"
        in run.stderr
    )
    assert sink.total("security.vulnerabilities") == 2
    assert sink.total("security.scanned.packages") == 2
    assert {each["security.vulnerability.id"] for each in labels(sink, "security.vulnerabilities")} == {
        "PYSEC-2019-179",
        "PYSEC-2018-66",
    }
    expected = _ci.detect(GITHUB)
    assert expected is not None
    assert {record.trace_id.hex() for record in sink.logs} == {expected.trace_id}
    assert {record.event_name for record in sink.logs} == {"security.vulnerability"}
    assert CANARY not in str([sink.metrics, sink.logs, sink.resources, run.stderr])


def test_one_is_not_several(sink: OtlpSink, tmp_path: Path) -> None:
    report = tmp_path / "audit.json"
    report.write_text(json.dumps([{"name": "flask", "version": "0.5", "vulns": [{"id": "PYSEC-1"}]}]))
    run = sandscope(sink, "ci", "vulnerabilities", str(report))
    assert run.stderr == "sandscope: 1 package, 1 known vulnerability: PYSEC-1 in flask 0.5\n"


def test_the_number_of_series_is_limited(sink: OtlpSink, tmp_path: Path) -> None:
    found = [{"id": f"PYSEC-{number:04}", "fix_versions": []} for number in range(300)]
    report = tmp_path / "audit.json"
    report.write_text(json.dumps([{"name": "flask", "version": "0.5", "vulns": found}]))
    assert sandscope(sink, "ci", "vulnerabilities", str(report)).returncode == 0
    assert sink.total("security.vulnerabilities") == 300
    assert len(sink.points("security.vulnerabilities")) == 201


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"dependencies": [{"name": 1, "vulns": [{"id": 2}]}]}'])
def test_another_file_is_refused(sink: OtlpSink, tmp_path: Path, text: str) -> None:
    report = tmp_path / "audit.json"
    report.write_text(text)
    run = sandscope(sink, "ci", "vulnerabilities", str(report))
    assert run.returncode == 2
    assert "it is not a report of pip-audit. Run `pip-audit --format json" in run.stderr


def test_what_is_sent_is_declared(sink: OtlpSink, tmp_path: Path) -> None:
    report = tmp_path / "audit.json"
    report.write_text(json.dumps(AUDIT))
    sandscope(sink, "exec", "--", "false", **GITHUB)
    sandscope(sink, "ci", "end", "--result", "failure", "--started", "1", **GITHUB)
    sandscope(sink, "ci", "vulnerabilities", str(report), **GITHUB)
    contract = Contract.whole()
    sent = {a.key for each in [*sink.spans, *sink.logs] for a in each.attributes}
    assert sent <= set(contract.attributes)
    assert {metric.name for metric in sink.metrics} <= set(contract.metrics)
    for metric in {metric.name for metric in sink.metrics if metric.name.startswith(("cicd.", "security."))}:
        declared = {attribute["ref"] for attribute in contract.metrics[metric]["attributes"]}
        assert {key for each in labels(sink, metric) for key in each} <= declared


def test_no_variable_is_read_that_could_be_a_secret() -> None:
    read: set[str] = set()

    class Watched(dict[str, str]):
        def get(self, name: str, default: object = None) -> Any:
            read.add(name)
            return super().get(name, default)  # type: ignore[arg-type]

        def __getitem__(self, name: str) -> str:
            read.add(name)
            return super().__getitem__(name)

    for system in SYSTEMS.values():
        _ci.detect(Watched(system))
        _ci.completed_run(Watched(system))
    assert len(read) > 30
    assert [
        name
        for name in read
        if any(
            word in name
            for word in (
                "TOKEN",
                "PASSWORD",
                "SECRET",
                "KEY",
                "ACTOR",
                "USER",
                "EMAIL",
                "MESSAGE",
                "REPOSITORY_URL",
            )
        )
    ] == []
