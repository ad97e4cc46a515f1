"""GPUs by NVML. These are interface tests: `FakeNvml` stands for the package nvidia-ml-py, and no GPU is needed."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry
from sandscope_instrumentation_torch._measures import _gpu

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")
NAMES = ("utilization", "memory.usage", "memory.limit", "memory.utilization")


class FakeNvml(ModuleType):
    """A stand-in for the module ``pynvml``: two GPUs, of which the second cannot say how busy it is."""

    class NVMLError(Exception):
        """As NVML's."""

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.starts = 0

    def nvmlInit(self) -> None:  # noqa: N802 -- NVML's names
        self.starts += 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, gpu: int) -> str:  # noqa: N802
        return f"GPU-{gpu}"

    def nvmlDeviceGetName(self, _gpu: int) -> str:  # noqa: N802
        return "Fake GPU"

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> Any:  # noqa: N802
        if gpu:
            raise self.NVMLError("not supported")
        return SimpleNamespace(gpu=25)

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=3 + gpu, total=8)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    for state in ("_missing", "_started_in"):
        monkeypatch.setattr(_gpu, state, [])
    return fake


def _in_use(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def _values(telemetry: Telemetry) -> dict[str, dict[Any, float]]:
    return {
        name: {point["hw.id"]: value for point, value in telemetry.points(f"hw.gpu.{name}")} for name in NAMES
    }


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_gpus_are_reported_by_the_conventions_for_hardware(
    instrumented: Telemetry, torch: Any, net: Any, nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_use(torch, monkeypatch)
    net(torch.ones(1, 4))
    assert _values(instrumented) == {
        "utilization": {"GPU-0": 0.25},
        "memory.usage": {"GPU-0": 3, "GPU-1": 4},
        "memory.limit": {"GPU-0": 8, "GPU-1": 8},
        "memory.utilization": {"GPU-0": 0.375, "GPU-1": 0.5},
    }
    assert nvml.starts == 1
    assert CONTRACT.violations(instrumented) == []


def test_nvml_is_not_started_for_a_program_without_cuda(
    instrumented: Telemetry, torch: Any, net: Any, nvml: FakeNvml
) -> None:
    if torch.cuda.is_initialized():
        pytest.skip("CUDA is in use.")
    net(torch.ones(1, 4))
    assert not any(_values(instrumented).values())
    assert nvml.starts == 0


def test_without_the_package_nothing_is_reported(
    instrumented: Telemetry, torch: Any, net: Any, nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_use(torch, monkeypatch)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    net(torch.ones(1, 4))
    assert not any(_values(instrumented).values())
