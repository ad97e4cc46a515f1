"""The metrics of the spool."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sandscope._spool import _spool_metrics


class Empty:
    """A backlog with nothing in it."""

    signal: Any = "span"

    def waiting(self) -> list[Any]:
        return []

    def send_soon(self) -> None:
        pass


def test_the_metrics_are_those_of_a_provider_that_has_not_shut_down(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A program may end while a thread looks for what was kept. The SDK would write a warning to its stderr."""
    reader = InMemoryMetricReader()
    ended, living = MeterProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    ended.shutdown()
    monkeypatch.setattr(_spool_metrics, "_is_shown", [])
    backlog = Empty()
    for provider in (ended, living):
        monkeypatch.setattr(_spool_metrics, "get_meter_provider", lambda provider=provider: provider)
        _spool_metrics.show(backlog)
    assert caplog.records == []
    data = reader.get_metrics_data()
    assert data is not None
    names = {
        metric.name
        for each in data.resource_metrics
        for scope in each.scope_metrics
        for metric in scope.metrics
    }
    assert {"sandscope.spool.size", "sandscope.spool.requests"} <= names
    living.shutdown()
