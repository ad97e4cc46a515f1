"""Fixtures for the tests of all packages."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import context
from opentelemetry.context import Context

sys.path.insert(0, str(Path(__file__).parent / "tests"))

from harness import Telemetry
from harness._stores import stores
from sandscope import _guard
from sandscope.instrumentation import _instrumentor

__all__ = ["stores"]


def pytest_configure() -> None:
    """Listen to Ctrl-C even where a shell has started this in the background, deaf to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_errors_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test count telemetry's own errors from zero."""
    monkeypatch.setattr(_guard, "_counts", {})


@pytest.fixture(autouse=True)
def _context_of_its_own() -> Iterator[None]:
    """Let no test see a span that another one, perhaps one that failed, has left current."""
    token = context.attach(Context())
    yield
    context.detach(token)


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
