"""Lets no drain outlive its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deferred._programs import Program


@pytest.fixture(autouse=True)
def _no_drain_goes_on() -> Iterator[None]:
    yield
    while Program.made:
        Program.made.pop().pipeline.close()
