"""The hooks for pytest-xdist: its workers record in the trace of the session."""

from __future__ import annotations

import time
from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.context import Context

from sandscope import _settings
from sandscope._own_process import _at_exit
from sandscope._pytest._names import name_of
from sandscope._pytest._recording import Recording, RemoteSession
from sandscope._pytest._session import Tests

_INPUT = "sandscope"
_FIRST = "gw0"


class Controller:
    """The hooks of the process that gives workers their tests. Without workers, none of them is called in vain."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._started: dict[str, int] = {}
        self._has_workers = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker the trace context of the session."""
        self._has_workers = True
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        node.workerinput[_INPUT] = carrier

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note when a worker has begun a test."""
        if self._has_workers:
            self._started[nodeid] = time.time_ns()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Forget a test that has ended."""
        self._started.pop(nodeid, None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """Record the test during which a worker has died, unless a black box reports it."""
        started = self._started.pop(crashitem, None)
        if started is not None and _settings.black_box_folder() is None:
            self._recording.lose_test(name_of(crashitem), started)


class Worker(Tests):
    """The hooks of a worker."""

    def __init__(self, recording: Recording, inputs: Any, *, parameters: bool) -> None:
        super().__init__(recording, parameters=parameters)
        self._is_first = inputs.get("workerid") == _FIRST
        carrier = inputs.get(_INPUT)
        if isinstance(carrier, dict):
            RemoteSession(propagate.extract(carrier, Context()))

    def fail_collection(self, file: str, error: BaseException) -> None:
        """Record it only once: each worker collects all tests."""
        if self._is_first:
            super().fail_collection(file, error)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """End the last file, and send what is left: the controller may not wait long for this process."""
        self.leave_file()
        _at_exit.run_now()
