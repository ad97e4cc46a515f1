"""Fixtures for the tests of all packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "tests"))

from harness import Telemetry


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Return an SDK in memory."""
    memory = Telemetry()
    yield memory
    memory.shutdown()
