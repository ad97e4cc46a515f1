"""The names of models are on metrics only if the program's settings allow them, with a limit of different names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Telemetry
from sandscope._recording import _metric_attributes

pytestmark = [
    pytest.mark.torch,
    pytest.mark.parametrize("recorder_kind", ["direct", "deferred"]),
]


@pytest.fixture(autouse=True)
def _no_values_so_far() -> Iterator[None]:
    _metric_attributes._known.clear()
    yield
    _metric_attributes._known.clear()


@pytest.fixture
def saved(torch: Any, net: Any, tmp_path: Path) -> Path:
    torch.save(net.state_dict(), tmp_path / "net.pt")
    return tmp_path / "net.pt"


def _labels(telemetry: Telemetry, name: str) -> dict[Any, float]:
    return {attributes.get(name): value for attributes, value in telemetry.points("sandbox.executions")}


def test_models_and_files_are_labels_if_allowed(
    telemetry: Telemetry, torch: Any, saved: Path, monkeypatch: pytest.MonkeyPatch, instrument: Any
) -> None:
    monkeypatch.setenv("SANDSCOPE_METRIC_ATTRIBUTES", "torch.module,torch.model.file")
    with instrument():
        torch.load(saved, weights_only=True)
        for size in (1, 2, 3):
            torch.nn.Linear(4, 4)(torch.ones(size, 4))
    assert _labels(telemetry, "torch.module") == {None: 1.0, "Linear": 3.0}
    assert _labels(telemetry, "torch.model.file") == {None: 3.0, "net.pt": 1.0}


def test_durations_have_buckets_at_the_documents_objectives(
    telemetry: Telemetry, torch: Any, instrument: Any
) -> None:
    with instrument():
        torch.nn.Linear(1, 1)(torch.ones(1, 1))
    for point in telemetry.metrics()["sandbox.execution.duration"].data.data_points:
        assert {0.5, 1.0, 2.0} <= {*point.explicit_bounds}


def test_many_models_become_other(
    telemetry: Telemetry, torch: Any, monkeypatch: pytest.MonkeyPatch, instrument: Any
) -> None:
    monkeypatch.setenv("SANDSCOPE_METRIC_ATTRIBUTES", "torch.module")
    monkeypatch.setenv("SANDSCOPE_METRIC_ATTRIBUTE_VALUES", "2")
    with instrument():
        for number in range(5):
            type(f"Net{number}", (torch.nn.Linear,), {})(1, 1)(torch.ones(1, 1))
    assert _labels(telemetry, "torch.module") == {"Net0": 1.0, "Net1": 1.0, "other": 3.0}
