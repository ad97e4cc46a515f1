"""Fixtures for the tests of all packages."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import context

sys.path.insert(0, str(Path(__file__).parent / "tests"))

from harness import Telemetry
from harness._stores import stores
from sandscope import _guard
from sandscope.instrumentation import _instrumentor

__all__ = ["stores"]
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def pytest_configure() -> None:
    """Listen to Ctrl-C even where a shell has started this in the background, deaf to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Share the tests out to the workers of pytest-xdist: file by file, those with slow tests first.

    One worker has all tests of the stores, which start once.
    """
    if not hasattr(config, "workerinput"):
        return
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        file = item.path.relative_to(config.rootpath).as_posix()
        item.add_marker(pytest.mark.xdist_group("stores" if item.get_closest_marker("stores") else file))


@pytest.fixture(autouse=True)
def _context_of_its_own() -> Iterator[None]:
    """Let no test see a span that another one, perhaps one that failed, has left current."""
    token = context.attach(context.Context())
    yield
    context.detach(token)


@pytest.fixture(autouse=True)
def _no_errors_yet(_context_of_its_own: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test count telemetry's own errors from zero."""
    monkeypatch.setattr(_guard, "_counts", {})


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Let children inherit no signal that is ignored, as SIGHUP is under nohup."""
    ignored = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(params=["direct", "deferred"])
def recorder_kind(request: pytest.FixtureRequest) -> str:
    """Return which recorder is behind the instrumentations; a test runs once with either."""
    return str(request.param)


@pytest.fixture
def telemetry(recorder_kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Return an SDK in memory."""
    memory = Telemetry(recorder_kind)
    monkeypatch.setattr(_instrumentor, "get_recorder", memory.recorder)
    yield memory
    memory.shutdown()
