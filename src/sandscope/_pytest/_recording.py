"""The telemetry of a session: spans of the session and its files, executions of its tests, and metrics."""

from __future__ import annotations

import time
from functools import lru_cache

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode

from sandscope._ci import Run
from sandscope._execution import Execution, Site
from sandscope._manual import EXCEPTION, INTERRUPTED, verdict_of
from sandscope._metric import TEST_DURATION, TEST_RUN_DURATION, Metric
from sandscope._pytest._names import Name
from sandscope._recording._choice import get_recorder
from sandscope._scope import Scope
from sandscope._verdict import OK, Verdict
from sandscope._version import __version__

_SCOPE = Scope("sandscope.pytest", __version__)
_SUITE, _RUN_STATUS = "test.suite.name", "test.suite.run.status"
_CASE, _RESULT = "test.case.name", "test.case.result.status"
_ENDINGS = {0: "success", 1: "failure", 5: "skipped"}
"""What the exit codes of pytest mean; any other is ``aborted``."""
_PROCESS_DIED = Verdict("IE", "unknown", "ie_host_killed")


class Recording:
    """Records one session, or the part of it that a worker runs."""

    def __init__(self, root: str, run: Run | None, *, messages: bool) -> None:
        """Prepare to record.

        Args:
            root: the name of the root folder.
            run: of the CI pipeline, or None.
            messages: whether to keep the messages of exceptions.
        """
        self._tracer = trace.get_tracer(*_SCOPE)
        self._recorder = get_recorder(_SCOPE)
        self._root, self._messages = root, messages
        name = {"cicd.pipeline.name": run.name} if run is not None and run.name else {}
        self._labels: dict[str, str] = name
        self._identity = {} if run is None else {**run.identity, **name}

    def begin_session(self) -> Suite:
        """Begin the span of the session."""
        return Suite(self._tracer.start_span("pytest", attributes={_SUITE: self._root, **self._identity}))

    def end_session(self, session: Suite, code: int) -> None:
        """End it with an exit code of pytest."""
        status = _ENDINGS.get(code, "aborted")
        session.end(status)
        self._measure(TEST_RUN_DURATION, session.seconds, {_RUN_STATUS: status})

    def begin_file(self, file: str) -> Suite:
        """Begin the span of a file."""
        return Suite(self._tracer.start_span("file", attributes={_SUITE: file}))

    def begin_test(self, name: Name, started: int | None = None) -> Execution | None:
        """Begin a test; its span is the current one, unless it has started earlier."""
        site = _site(name, current=started is None)
        if started is not None:
            return self._recorder.begin_at(site, started)
        test = self._recorder.begin(site)
        trace.get_current_span().get_span_context()  # a black box has only ids that are known
        return test

    def end_test(self, test: Execution, result: str, error: BaseException | None, *, died: bool) -> None:
        """End a test with a value of ``test.case.result.status``."""
        test.set_attributes({_RESULT: result})
        if died:
            test.finish(_PROCESS_DIED)
        elif error is not None:
            test.fail(error, EXCEPTION, message=None if self._messages else "")
        else:
            test.finish(EXCEPTION if result == "fail" else OK)
        self._measure(TEST_DURATION, test.duration, {_RESULT: result})

    def interrupt_test(self, test: Execution, error: BaseException) -> None:
        """End a test whose result will not be known."""
        test.fail(error, INTERRUPTED, message=None if self._messages else "")

    def lose_test(self, name: Name, started: int) -> None:
        """Record a test whose worker has died.

        Args:
            name: of the test.
            started: nanoseconds since the epoch.
        """
        test = self.begin_test(name, started)
        if test is not None:
            test.set_attributes({_RESULT: "fail"})
            test.finish(_PROCESS_DIED)
            self._measure(TEST_DURATION, test.duration, {_RESULT: "fail"})

    def fail_collection(self, file: str, error: BaseException, started: int) -> None:
        """Record that the tests of a file could not be collected."""
        site = Site("pytest", "collect", f"collect {file}", attributes={_SUITE: file}, current=False)
        execution = self._recorder.begin_at(site, started)
        if execution is not None:
            execution.fail(error, EXCEPTION, message=None if self._messages else "")

    def _measure(self, metric: Metric, seconds: float, labels: dict[str, str]) -> None:
        self._recorder.measure(metric, seconds, {**labels, **self._labels})


class Suite:
    """The span of a session or a file, which is the current one until it ends.

    Attributes:
        failed: whether one of its tests has.
        context: with its span.
    """

    def __init__(self, span: Span) -> None:
        self.failed = False
        self.context = trace.set_span_in_context(span)
        self._span, self._began, self._ended = span, time.perf_counter(), 0.0
        self._token = context.attach(self.context)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self._ended - self._began

    def end(self, status: str) -> None:
        """End it with a value of ``test.suite.run.status``."""
        self._ended = time.perf_counter()
        context.detach(self._token)
        self._span.set_attribute(_RUN_STATUS, status)
        if status in {"failure", "aborted"}:
            self._span.set_status(StatusCode.ERROR, status)
        self._span.end()


class RemoteSession:
    """The session of another process, whose context is the current one."""

    def __init__(self, remote: Context) -> None:
        context.attach(remote)


@lru_cache(maxsize=512)
def _site(name: Name, *, current: bool) -> Site:
    attributes = {_SUITE: name.file, _CASE: name.case}
    text = f"{name.file}::{name.function}" if name.function else name.file
    return Site("pytest", "test", text, attributes=attributes, verdict_of=verdict_of, current=current)
