"""An execution's recorder that keeps telemetry in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import context, trace
from opentelemetry.context import Context

from harness import Telemetry
from sandscope import _manual


@pytest.fixture
def recorded(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Record with an SDK that keeps telemetry in memory; afterwards, check that telemetry had no errors."""
    monkeypatch.setattr(_manual, "_recorder", telemetry.recorder(_manual.SCOPE))
    outside = context.attach(Context())
    yield telemetry
    assert trace.get_current_span() is trace.INVALID_SPAN
    context.detach(outside)
    assert telemetry.points("sandscope.errors") == []
