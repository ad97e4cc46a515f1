"""Fixtures: the instrumentation against an SDK in memory, and programs to run as children."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Contract, Telemetry, wait_until
from sandscope_instrumentation_subprocess import SubprocessInstrumentor

DECLARED = Path(__file__).parents[1] / "telemetry.yaml"


class Ended:
    """What was recorded of children that have ended; some end on another thread."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry

    def all(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many executions and return the attributes of exactly those."""
        wait_until(lambda: len(self.telemetry.spans()) >= count)
        spans = self.telemetry.spans()
        assert len(spans) == count
        return [dict(span.attributes or {}) for span in spans]

    def one(self) -> dict[str, Any]:
        """Wait for one execution and return its attributes."""
        return self.all(1)[0]

    def verdict(self) -> tuple[Any, ...]:
        """Wait for one execution and return status, actor, cause and limit."""
        attributes = self.one()
        names = ("verdict.status", "verdict.actor", "verdict.cause", "limit")
        return tuple(attributes.get(f"sandbox.{name}") for name in names)


@pytest.fixture
def ended(telemetry: Telemetry) -> Iterator[Ended]:
    """Instrument subprocess; whatever a test did, what it emitted is declared and nothing is left open."""
    instrumentor = SubprocessInstrumentor()
    instrumentor.instrument(**telemetry.providers)
    yield Ended(telemetry)
    instrumentor.uninstrument()
    assert Contract(DECLARED).violations(telemetry) == []
    assert all(value == 0 for _, value in telemetry.points("sandbox.execution.active"))
    assert telemetry.points("sandscope.errors") == []
    assert "sandscope-subprocess" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def python() -> Callable[[str], list[str]]:
    """Return the command line that runs some Python in a child."""
    return lambda code: [sys.executable, "-c", code]
