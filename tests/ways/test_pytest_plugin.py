"""``pytest --sandscope``: a session is one trace. Not asked for, the plugin does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import BIN, PATIENCE, Contract, OtlpSink, clean_environment, requires_otelcol
from sandscope import _ci
from sandscope._deferred._compiled import python_reason
from sandscope._pytest._names import Name, name_of, numbers_of

pytestmark = pytest.mark.usefixtures("default_signals")

UNRELATED = ("-p", "no:hypothesispytest", "-p", "no:anyio")
"""Plugins of other packages, whose imports take longer than everything else in these sessions."""
CANARY = "canary-5c1e"
TESTS = f"""
import subprocess
import pytest

def test_child():
    subprocess.run(["true"], check=True)

def test_fails():
    raise LookupError("{CANARY}")

@pytest.mark.parametrize("token", ["{CANARY}::a[1]", "{CANARY}b"])
def test_parameters(token):
    pass

@pytest.mark.skip(reason="{CANARY}")
def test_skipped():
    pass

@pytest.mark.xfail(reason="{CANARY}")
def test_expected():
    raise ValueError("{CANARY}")

@pytest.fixture
def broken():
    raise OSError("{CANARY}")

class TestGroup:
    def test_fixture(self, broken):
        pass
"""
RESULTS = {
    "tests/test_a.py::test_child": "pass",
    "tests/test_a.py::test_fails": "fail",
    "tests/test_a.py::test_parameters[#1]": "pass",
    "tests/test_a.py::test_parameters[#2]": "pass",
    "tests/test_a.py::test_skipped": "skip",
    "tests/test_a.py::test_expected": "xfail",
    "tests/test_a.py::TestGroup::test_fixture": "fail",
}


class Project:
    """A folder with tests, and a receiver of what is recorded of them."""

    def __init__(self, folder: Path, sink: OtlpSink) -> None:
        self.folder, self.sink = folder / "project", sink
        (self.folder / "tests").mkdir(parents=True)

    def write(self, text: str, name: str = "test_a.py") -> None:
        (self.folder / "tests" / name).write_text(text)

    def run(
        self, *words: str, way: tuple[str, ...] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        own = {name for name in os.environ if name.startswith("PYTEST_")}
        environment = clean_environment(**{"OTEL_EXPORTER_OTLP_ENDPOINT": self.sink.endpoint, **variables})
        return subprocess.run(
            [*way, sys.executable, "-m", "pytest", "-q", *UNRELATED, *words],
            cwd=self.folder,
            env={name: value for name, value in environment.items() if name not in own or name in variables},
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )

    def results(self) -> dict[str, str]:
        """Return the result of each test by its name."""
        told = [values(span) for span in self.sink.spans]
        found = [
            (each["test.case.name"], each["test.case.result.status"])
            for each in told
            if "test.case.name" in each
        ]
        assert len(found) == len(dict(found))
        return dict(found)

    @property
    def session(self) -> Any:
        (session,) = [span for span in self.sink.spans if span.name == "pytest"]
        return session

    def sent(self) -> str:
        return str([self.sink.spans, self.sink.metrics, self.sink.logs, self.sink.resources])


def values(span: Any) -> dict[str, str]:
    return {a.key: a.value.string_value for a in span.attributes}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with OtlpSink() as sink:
        yield Project(tmp_path, sink)


def test_not_asked_for_it_does_nothing(project: Project) -> None:
    project.write(
        "import sys\n"
        "def test_nothing_is_imported():\n"
        "    own = {name for name in sys.modules if name.startswith(('sandscope', 'opentelemetry'))}\n"
        "    assert own <= {'sandscope', 'sandscope._pytest', 'sandscope._pytest.plugin'}\n"
    )
    assert project.run().returncode == 0
    assert project.run("-p", "no:sandscope").returncode == 0
    assert project.sink.requests == 0


@pytest.mark.parametrize("recorder", ["auto", "python", "direct"])
def test_a_session_is_one_trace(project: Project, recorder: str) -> None:
    project.write(TESTS)
    run = project.run("--sandscope", SANDSCOPE_RECORDER=recorder)
    assert run.returncode == 1, run.stdout
    assert "1 failed, 3 passed, 1 skipped, 1 xfailed, 1 error" in run.stdout
    assert project.results() == RESULTS
    session, file = project.session, project.sink.span("file")
    assert not session.parent_span_id
    assert {span.trace_id for span in project.sink.spans} == {session.trace_id}
    assert (file.parent_span_id, values(file)["test.suite.name"]) == (session.span_id, "tests/test_a.py")
    tests = {span.name: span for span in project.sink.spans if "test.case.name" in values(span)}
    assert {span.parent_span_id for span in tests.values()} == {file.span_id}
    assert project.sink.span("true").parent_span_id == tests["tests/test_a.py::test_child"].span_id
    assert values(session) == {"test.suite.name": "project", "test.suite.run.status": "failure"}
    assert values(tests["tests/test_a.py::test_fails"])["error.type"] == "LookupError"
    assert values(tests["tests/test_a.py::TestGroup::test_fixture"])["error.type"] == "OSError"
    assert CANARY not in project.sent()


def test_counts_and_durations_are_metrics(project: Project) -> None:
    project.write(TESTS)
    project.run("--sandscope")
    counts = {
        values(point)["test.case.result.status"]: point.count
        for point in project.sink.points("test.case.duration")
    }
    assert counts == {"pass": 3, "fail": 2, "skip": 1, "xfail": 1}
    (session,) = project.sink.points("test.suite.run.duration")
    assert values(session) == {"test.suite.run.status": "failure"}
    assert session.sum > 0
    contract = Contract.whole()
    assert {a.key for each in [*project.sink.spans, *project.sink.logs] for a in each.attributes} <= set(
        contract.attributes
    )
    assert {metric.name for metric in project.sink.metrics} <= set(contract.metrics)
    assert {resource["service.name"] for resource in project.sink.resources} == {"pytest"}


def test_messages_and_parameters_are_there_if_asked_for(project: Project) -> None:
    project.write(TESTS)
    both = {"SANDSCOPE_PYTEST_MESSAGES": "true", "SANDSCOPE_PYTEST_PARAMETERS": "true"}
    project.run(SANDSCOPE_PYTEST="true", **both)
    assert f"tests/test_a.py::test_parameters[{CANARY}b]" in project.results()
    messages = {values(record).get("exception.message") for record in project.sink.logs}
    assert CANARY in messages


def test_the_trace_is_said(project: Project) -> None:
    project.write("def test_one(): pass")
    run = project.run("--sandscope", "-v")
    assert f"sandscope: trace {project.session.trace_id.hex()}" in run.stdout


def test_workers_record_in_the_same_trace(project: Project) -> None:
    project.write(TESTS)
    project.write("import no_such_module", "test_b.py")
    words = ["--sandscope", "-n", "2", "--continue-on-collection-errors"]
    assert project.run(*words).returncode == 1
    assert project.results() == RESULTS
    assert {span.trace_id for span in project.sink.spans} == {project.session.trace_id}
    collected = [span for span in project.sink.spans if span.name == "collect tests/test_b.py"]
    assert [values(span)["error.type"] for span in collected] == ["ModuleNotFoundError"]
    assert project.sink.total("test.case.duration") == 7
    assert CANARY not in project.sent()


def test_a_worker_that_dies_leaves_its_test(project: Project) -> None:
    project.write(
        "import os\ndef test_ok(): pass\ndef test_dies(): os.kill(os.getpid(), 9)\ndef test_last(): pass\n"
    )
    run = project.run("--sandscope", "-n", "1", "--max-worker-restart", "1")
    assert run.returncode == 1, run.stdout
    lost = values(project.sink.span("tests/test_a.py::test_dies"))
    assert (lost["sandbox.verdict.cause"], lost["test.case.result.status"]) == ("ie_host_killed", "fail")
    assert project.results()["tests/test_a.py::test_last"] == "pass"
    assert values(project.session)["test.suite.run.status"] == "failure"


@pytest.mark.parametrize("ending", ["raise KeyboardInterrupt", "pytest.exit('enough')"])
def test_an_interrupted_session_is_aborted(project: Project, ending: str) -> None:
    project.write(f"import pytest\ndef test_ok(): pass\ndef test_stops(): {ending}\n")
    assert project.run("--sandscope").returncode == 2
    stopped = values(project.sink.span("tests/test_a.py::test_stops"))
    assert stopped["sandbox.verdict.cause"] == "ie_interrupted"
    assert "test.case.result.status" not in stopped
    assert values(project.session)["test.suite.run.status"] == "aborted"
    assert project.sink.total("test.case.duration") == 1


FORKED = """
import multiprocessing, os, pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    context = multiprocessing.get_context("fork")
    reports = context.SimpleQueue()
    child = context.Process(target=lambda: reports.put(runtestprotocol(item, log=False)))
    child.start(); child.join()
    if child.exitcode == 0:
        told = reports.get()
    else:
        told = [pytest.TestReport(item.nodeid, item.location, {}, "failed", "CRASHED", "???")]
    for report in told:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


def test_tests_that_run_in_children_of_their_own(project: Project) -> None:
    """As pytest-forked does: the parent has nothing but their reports."""
    project.write(TESTS + "def test_dies():\n    import os\n    os.kill(os.getpid(), 9)\n")
    (project.folder / "forking.py").write_text(FORKED)
    run = project.run("--sandscope", "-p", "forking", PYTHONPATH=str(project.folder))
    assert "2 failed, 3 passed, 1 skipped, 1 xfailed, 1 error" in run.stdout, run.stdout
    died = "tests/test_a.py::test_dies"
    assert project.results() == {**RESULTS, died: "fail"}
    assert values(project.sink.span(died))["sandbox.verdict.cause"] == "ie_host_killed"
    assert values(project.sink.span("tests/test_a.py::test_fails"))["sandbox.verdict.status"] == "RE"
    child = project.sink.span("true")
    assert child.parent_span_id == project.sink.span("tests/test_a.py::test_child").span_id
    assert values(project.sink.span("file"))["test.suite.run.status"] == "failure"


def test_parts_of_a_test(project: Project) -> None:
    project.write(
        """
import pytest
def test_parts(subtests):
    with subtests.test(): pass
    with subtests.test(): pytest.skip()
def test_one_part_fails(subtests):
    with subtests.test(): raise LookupError
"""
    )
    assert project.run("--sandscope").returncode == 1
    assert project.results() == {
        "tests/test_a.py::test_parts": "pass",
        "tests/test_a.py::test_one_part_fails": "fail",
    }


def test_without_tests_it_is_skipped(project: Project) -> None:
    assert project.run("--sandscope", "-p", "no:xdist").returncode == 5
    assert values(project.session)["test.suite.run.status"] == "skipped"


def test_a_forked_child_is_not_another_test(project: Project) -> None:
    project.write(
        "import os, pytest\n"
        "def test_forks():\n"
        "    pid = os.fork()\n"
        "    if pid == 0: os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
    )
    assert project.run("--sandscope").returncode == 0
    assert project.results() == {"tests/test_a.py::test_forks": "pass"}
    assert project.sink.total("test.case.duration") == 1


def test_disabled_it_records_nothing(project: Project) -> None:
    project.write("def test_one(): pass")
    assert project.run("--sandscope", OTEL_SDK_DISABLED="true").returncode == 0
    assert project.sink.requests == 0


def test_a_session_goes_on_if_nothing_answers(project: Project) -> None:
    project.write(TESTS)
    run = project.run(
        "--sandscope", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", SANDSCOPE_EXIT_TIMEOUT="1"
    )
    assert run.returncode == 1
    assert "1 failed, 3 passed, 1 skipped, 1 xfailed, 1 error" in run.stdout
    assert Counter((run.stdout + run.stderr).split())["deliver"] <= 1


def test_a_wrong_setting_is_said(project: Project) -> None:
    run = project.run(SANDSCOPE_PYTEST="perhaps")
    assert run.returncode == 4
    assert "Cannot read SANDSCOPE_PYTEST='perhaps'" in run.stderr


def test_a_session_in_ci_is_in_the_trace_of_the_run(project: Project) -> None:
    project.write("def test_one(): pass")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "5", "GITHUB_WORKFLOW": "build"}
    assert project.run("--sandscope", **github).returncode == 0
    run = _ci.detect(github)
    assert run is not None
    assert (project.session.trace_id.hex(), project.session.parent_span_id.hex()) == (
        run.trace_id,
        run.span_id,
    )
    assert values(project.session)["cicd.pipeline.run.id"] == "5"
    (point,) = project.sink.points("test.case.duration")
    assert values(point)["cicd.pipeline.name"] == "build"


def test_under_exec_it_is_part_of_the_step(project: Project) -> None:
    project.write("def test_one(): pass")
    way = (str(BIN / "sandscope"), "exec", "--")
    assert project.run("--sandscope", way=way).returncode == 0
    (step,) = [span for span in project.sink.spans if not span.parent_span_id]
    assert project.session.parent_span_id == step.span_id


@pytest.mark.skipif(
    sys.platform != "linux" or bool(python_reason),
    reason="black boxes are for Linux and the compiled recorder",
)
def test_the_test_during_which_the_session_is_killed(project: Project) -> None:
    project.write("import os\ndef test_ok(): pass\ndef test_dies(): os.kill(os.getpid(), 9)\n")
    way = (str(BIN / "sandscope"), "run", "--trace", "--")
    assert project.run("--sandscope", way=way).returncode == -9
    (step,) = [span for span in project.sink.spans if not span.parent_span_id]
    lost = project.sink.span("tests/test_a.py::test_dies")
    assert values(lost)["sandbox.verdict.cause"] == "ie_host_killed"
    assert lost.trace_id == step.trace_id
    assert "test.case.result.status" not in values(lost)  # nobody saw how it would have ended
    assert values(project.sink.span("tests/test_a.py::test_ok"))["test.case.result.status"] == "pass"


@pytest.mark.collector
def test_the_report_lists_the_tests_that_failed(project: Project) -> None:
    requires_otelcol()
    pytest.importorskip("duckdb")
    project.write(TESTS)
    way = (str(BIN / "sandscope"), "exec", "--")
    project.run("--sandscope", way=way, OTEL_EXPORTER_OTLP_ENDPOINT="")
    report = subprocess.run(
        [BIN / "sandscope", "report", "--format", "html"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tests/test_a.py::test_fails" in report.stdout
    assert CANARY not in report.stdout


def test_names_have_no_parameters_and_no_path_from_elsewhere() -> None:
    assert name_of("a/b.py::C::d[x::y[z]]", 3) == Name("a/b.py", "C::d", "a/b.py::C::d[#3]")
    assert name_of("/home/me/b.py::d") == Name("b.py", "d", "b.py::d")
    assert name_of("../b.py::d[1]", 1, parameters=True) == Name("b.py", "d", "b.py::d[1]")
    assert name_of("README.rst") == Name("README.rst", "", "README.rst")
    assert len(name_of("a.py::" + "x" * 1000).case) == 256
    assert numbers_of(["a.py::b[x]", "a.py::c", "a.py::b[y]"]) == {"a.py::b[x]": 1, "a.py::b[y]": 2}
