"""The hooks of a session that runs tests itself."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from sandscope import _guard
from sandscope._execution import Execution
from sandscope._pytest._names import Name, name_of, numbers_of
from sandscope._pytest._recording import Recording, Suite

_PHASES = ("setup", "call", "teardown")


class TestRun:
    """A test that runs, and what pytest has reported of it.

    Attributes:
        execution: None if it is not recorded.
        result: a value of ``test.case.result.status``; None until one is known.
        error: the exception by which it has failed; None if that is in another process.
        died: whether it had a process of its own, as with pytest-forked, which has died.
    """

    __test__ = False

    def __init__(self, execution: Execution | None) -> None:
        self.execution = execution
        self.result: str | None = None
        self.error: BaseException | None = None
        self.died = False
        self._raised: dict[str, BaseException] = {}

    def keep(self, call: pytest.CallInfo[Any]) -> None:
        """Keep the exception of a phase: the report has only its text."""
        if call.excinfo is not None:
            self._raised[call.when] = call.excinfo.value

    def note(self, report: pytest.TestReport) -> None:
        """Take in a report, which may come from another process. Of a test that is run again, the last time counts."""
        if report.when == "setup":
            self.result = self.error = None
        if report.failed:
            self.result = "fail"
            self.error = self.error or self._raised.get(report.when or "")
            self.died = report.when not in _PHASES
        elif self.result != "fail" and report.skipped:
            self.result = "xfail" if hasattr(report, "wasxfail") else "skip"
        elif self.result != "fail" and report.passed and report.when == "call":
            self.result = "pass"


class Tests:
    """The hooks for tests, in this process or in a worker of pytest-xdist. None of them raises."""

    __test__ = False

    def __init__(self, recording: Recording, *, parameters: bool) -> None:
        self.recording = recording
        self._parameters = parameters
        self._numbers: dict[str, int] = {}
        self._file: tuple[str, Suite] | None = None
        self._running: TestRun | None = None
        self._collecting = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Number the parametrizations."""
        self._numbers = numbers_of(item.nodeid for item in session.items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Record a test with its fixtures."""
        run = self._begin(item)
        try:
            return (yield)
        except BaseException as error:
            with _reported():
                if run.execution is not None:
                    self.recording.interrupt_test(run.execution, error)
            raise
        finally:
            self._end(run, nextitem)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the exception of a phase."""
        if self._running is not None:
            with _reported():
                self._running.keep(call)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in how a phase of the test has ended."""
        if self._running is not None:
            with _reported():
                self._running.note(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Take the time of a collection."""
        self._collecting = time.time_ns()
        return (yield)

    def pytest_exception_interact(
        self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any], report: object
    ) -> None:
        """Record a file whose tests cannot be collected."""
        if isinstance(report, pytest.CollectReport) and call.excinfo is not None:
            with _reported():
                error = call.excinfo.value
                file = name_of(node.nodeid).file
                self.fail_collection(file, error.__cause__ or error)

    def fail_collection(self, file: str, error: BaseException) -> None:
        """Record that the tests of a file could not be collected."""
        self.recording.fail_collection(file, error, self._collecting)

    def leave_file(self) -> None:
        """End the span of the file whose tests have run."""
        if self._file is not None:
            (_, suite), self._file = self._file, None
            suite.end("failure" if suite.failed else "success")

    def _begin(self, item: pytest.Item) -> TestRun:
        run = TestRun(None)
        with _reported():
            name = self._name(item)
            if self._file is None or self._file[0] != name.file:
                self.leave_file()
                self._file = name.file, self.recording.begin_file(name.file)
            run.execution = self.recording.begin_test(name)
        self._running = run
        return run

    def _end(self, run: TestRun, nextitem: pytest.Item | None) -> None:
        self._running = None
        with _reported():
            if run.execution is not None and run.result is not None:
                self.recording.end_test(run.execution, run.result, run.error, died=run.died)
            elif run.execution is not None:
                run.execution.finish()
            if self._file is not None:
                self._file[1].failed |= run.result == "fail"
                if nextitem is None or self._name(nextitem).file != self._file[0]:
                    self.leave_file()

    def _name(self, item: pytest.Item) -> Name:
        return name_of(item.nodeid, self._numbers.get(item.nodeid), parameters=self._parameters)


class Session(Tests):
    """The hooks of a session that is not a worker's."""

    def __init__(self, recording: Recording, *, parameters: bool) -> None:
        super().__init__(recording, parameters=parameters)
        self._session: Suite | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Begin the session."""
        with _reported():
            self._session = self.recording.begin_session()

    def pytest_report_header(self) -> str | None:
        """Say in which trace the session is."""
        return None if self._session is None else f"sandscope: trace {self._session.trace_id}"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            with _reported():
                self.leave_file()
                self.recording.end_session(session, int(exitstatus))


class _reported(suppress):  # noqa: N801 -- used as a function
    """Report what goes wrong inside: telemetry never raises into the program."""

    def __init__(self) -> None:
        super().__init__(Exception)

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if isinstance(error, Exception):
            _guard.report("pytest", error)
        return bool(super().__exit__(kind, error, traceback))
