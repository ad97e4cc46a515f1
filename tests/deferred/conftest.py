"""Ends the drain thread of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deferred._programs import Program


@pytest.fixture(autouse=True)
def _end_drain() -> Iterator[None]:
    yield
    while Program.made:
        Program.made.pop().pipeline.close()
