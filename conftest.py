"""Fixtures for the tests of all packages."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import context

sys.path.insert(0, str(Path(__file__).parent / "tests"))

from harness import Telemetry
from harness._second_try import SecondTry
from harness._stores import stores
from sandscope import _guard
from sandscope.instrumentation import _instrumentor

__all__ = ["stores"]
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def pytest_configure(config: pytest.Config) -> None:
    """Set what tests expect of the shell that has started them."""
    SecondTry.register(config)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
    # Bytecode is cached, as on a user's machine: interpreters are started thousands of times.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    os.environ.setdefault("SANDSCOPE_SPOOL", "off")  # what one test cannot deliver would arrive in another


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return what ``-n auto`` means: three workers for two cores, as tests wait for programs a third of the time."""
    return 3 * (os.cpu_count() or 1) // 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Distribute the tests to the workers of pytest-xdist: file by file, what takes longest first.

    One worker runs all tests of the stores, which are started once: it begins with them, so that the others have work
    until it has ended. Files with slow tests are next.
    """
    if not hasattr(config, "workerinput"):
        return
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not item.get_closest_marker("stores"), item.path not in slow))
    for item in items:
        file = item.path.relative_to(config.rootpath).as_posix()
        item.add_marker(pytest.mark.xdist_group("stores" if item.get_closest_marker("stores") else file))


@pytest.fixture(autouse=True)
def _context_of_its_own() -> Iterator[None]:
    """Run each test in an empty context: a failed test may have left a span current."""
    token = context.attach(context.Context())
    yield
    context.detach(token)


@pytest.fixture(autouse=True)
def _no_errors_yet(_context_of_its_own: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the counts of telemetry's own errors before each test."""
    monkeypatch.setattr(_guard, "_counts", {})
    monkeypatch.setattr(_guard, "_logged", set())


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Reset ignored signals, so that children do not inherit them: nohup ignores SIGHUP, for example."""
    ignored = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(params=["direct", "deferred"])
def recorder_kind(request: pytest.FixtureRequest) -> str:
    """Return the recorder that the instrumentations use; a test runs once with each."""
    return str(request.param)


@pytest.fixture
def telemetry(recorder_kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Return an SDK that keeps telemetry in memory."""
    memory = Telemetry(recorder_kind)
    monkeypatch.setattr(_instrumentor, "get_recorder", memory.recorder)
    yield memory
    memory.shutdown()
