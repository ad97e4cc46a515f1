"""Fixtures: the instrumentation with an SDK in memory, and children that end when a test says so."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness import Contract, Telemetry, lacking, wait_until
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
from sandscope_instrumentation_subprocess._evidence._cgroup import locate, read_membership
from sandscope_instrumentation_subprocess._registry import Registry

CONTRACT = Contract(Path(__file__).parents[1] / "telemetry.yaml")
IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
MAX_SECONDS_IN_FORK = 60


class Ended:
    """What was recorded of children that have ended; some executions end on another thread."""

    def __init__(self, telemetry: Telemetry, instrumentor: SubprocessInstrumentor) -> None:
        self.telemetry = telemetry
        self._instrumentor = instrumentor

    @property
    def registry(self) -> Registry:
        """The children that run now."""
        registry = self._instrumentor._registry
        assert registry is not None
        return registry

    def all(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many executions and return the attributes of exactly those."""
        wait_until(lambda: len(self.telemetry.spans()) >= count, timeout=60)
        spans = self.telemetry.spans()
        assert len(spans) == count
        return [dict(span.attributes or {}) for span in spans]

    def one(self) -> dict[str, Any]:
        """Wait for one execution and return its attributes."""
        return self.all(1)[0]

    def verdict(self) -> tuple[Any, ...]:
        """Wait for one execution and return status, actor, cause and limit."""
        return self.verdict_in(self.one())

    @staticmethod
    def verdict_in(attributes: dict[str, Any]) -> tuple[Any, ...]:
        """Return status, actor, cause and limit from the attributes of an execution."""
        names = ("verdict.status", "verdict.actor", "verdict.cause", "limit")
        return tuple(attributes.get(f"sandbox.{name}") for name in names)


class Gate:
    """Keeps children running that read their standard input from it, until it is opened.

    Attributes:
        input: the file descriptor that children read from; they get no data.
    """

    def __init__(self) -> None:
        self.input, self._output = os.pipe()

    def open(self) -> None:
        """Let children read the end of their input."""
        with suppress(OSError):
            os.close(self._output)
        self._output = -1


@pytest.fixture(autouse=True)
def _inherited_signals() -> Iterator[None]:
    """Let children start with default signal dispositions, even if pytest itself has inherited others."""

    def ignore(*_: Any) -> None:
        pass  # unlike SIG_IGN, children do not inherit a handler

    inherited = {
        number: signal.signal(number, ignore)
        for number in signal.valid_signals() - IGNORED_BY_PYTHON
        if signal.getsignal(number) is signal.SIG_IGN
    }
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in inherited.items():
        signal.signal(number, handler)


@pytest.fixture
def settings() -> dict[str, Any]:
    """The arguments of `instrument()`; tests parametrize them."""
    return {}


@pytest.fixture
def ended(telemetry: Telemetry, settings: dict[str, Any]) -> Iterator[Ended]:
    """Instrument subprocess; afterwards, check that what was emitted is declared and nothing is left open."""
    instrumentor = SubprocessInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(instrumentor.scope), **settings)
    yield Ended(telemetry, instrumentor)
    watcher = instrumentor._registry and instrumentor._registry._watcher
    instrumentor.uninstrument()
    assert CONTRACT.violations(telemetry) == []
    assert all(value == 0 for _, value in telemetry.points("sandbox.execution.active"))
    assert telemetry.points("sandscope.errors") == []
    assert watcher is None or watcher.has_ended


@pytest.fixture
def contract() -> Contract:
    """Return the declarations of this instrumentation."""
    return CONTRACT


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return a closed gate."""
    gate = Gate()
    yield gate
    gate.open()
    os.close(gate.input)


class OwnCgroup:
    """A cgroup for children, of the controller of the number of processes.

    Attributes:
        folder: of the cgroup.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def limit(self, processes: int) -> None:
        """Limit the number of processes in it."""
        (self.folder / "pids.max").write_text(str(processes))
        assert (self.folder / "pids.max").read_text() == f"{processes}\n"

    def enter(self) -> None:
        """Move the calling process into it; a ``preexec_fn``."""
        (self.folder / "cgroup.procs").write_text("0")

    def processes(self) -> list[str]:
        """Return the process ids of its members."""
        return (self.folder / "cgroup.procs").read_text().split()


@pytest.fixture
def own_cgroup() -> Iterator[OwnCgroup]:
    """Return a new cgroup."""
    parent = locate(b"".join(read_membership("self").splitlines(keepends=True))).pids
    folder = Path(parent or "/sys/fs/cgroup/pids") / f"sandscope-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "pids.max").read_text()
    except OSError as error:
        lacking(f"a cgroup with pids.max cannot be made: run as root, or delegate one ({error.strerror})")
    yield OwnCgroup(folder)
    wait_until(lambda: not (folder / "cgroup.procs").read_text())
    folder.rmdir()


@pytest.fixture
def python() -> Callable[[str], list[str]]:
    """Return the command line that runs some Python in a child."""
    return lambda code: [sys.executable, "-c", code]


@pytest.fixture
def in_fork() -> Callable[[Callable[[], None]], None]:
    """Return a function that runs another one in a forked process and fails if that fails or hangs."""

    def in_fork(function: Callable[[], None]) -> None:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(MAX_SECONDS_IN_FORK)
                function()
                code = 0
            except BaseException:  # noqa: BLE001 -- any failure is one of the test
                traceback.print_exc()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    return in_fork
