"""Calls on a CUDA device; all tests need one."""

from __future__ import annotations

from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor

pytestmark = [pytest.mark.torch, pytest.mark.cuda]
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


@pytest.fixture(autouse=True)
def cuda(torch: Any) -> None:
    if not torch.cuda.is_available():
        # Skipped in CI too: no package installs a GPU.
        pytest.skip("No CUDA device. Run these tests on a machine with one.")


def test_inference_on_a_device_names_it(instrumented: Telemetry, torch: Any, net: Any) -> None:
    net.cuda().eval()
    with torch.inference_mode():
        assert net(torch.ones(3, 4, device="cuda")).is_cuda
    (span,) = instrumented.spans()
    assert span.name == "inference Net"
    assert (span.attributes or {})["torch.device"] == "cuda"
    assert CONTRACT.violations(instrumented) == []


def test_the_device_follows_a_model_that_moves(instrumented: Telemetry, torch: Any, net: Any) -> None:
    net(torch.ones(1, 4))
    net.cuda()(torch.ones(1, 4, device="cuda"))
    devices = [(span.attributes or {})["torch.device"] for span in instrumented.spans()]
    assert devices == ["cpu", "cuda"]


def test_out_of_device_memory(instrumented: Telemetry, torch: Any, calling: Any) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        calling(lambda: torch.empty(1 << 50, dtype=torch.uint8, device="cuda"))()
    (span,) = instrumented.spans()
    attributes = span.attributes or {}
    names = ("status", "actor", "cause")
    assert [attributes[f"sandbox.verdict.{name}"] for name in names] == ["MLE", "engine", "mle_cuda_oom"]
    ((point, value),) = instrumented.points("sandbox.limit.violations")
    assert (point["sandbox.limit"], value) == ("memory", 1.0)
    assert CONTRACT.violations(instrumented) == []


def test_a_failed_call_gives_its_device_memory_back(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    def forward() -> Any:
        activation = torch.empty(64 << 20, dtype=torch.uint8, device="cuda")
        return activation, torch.empty(1 << 50, dtype=torch.uint8, device="cuda")

    model, before = calling(forward), torch.cuda.memory_allocated()
    for _ in range(3):
        with pytest.raises(torch.OutOfMemoryError):
            model()
    assert torch.cuda.memory_allocated() == before


def test_a_training_step_with_checkpointing_is_one_execution(
    instrumented: Telemetry, torch: Any, net: Any, calling: Any
) -> None:
    """CUDA gradients are computed in torch's own threads."""
    from torch.utils.checkpoint import checkpoint

    net.cuda()
    model = calling(lambda batch: checkpoint(net, batch, use_reentrant=False))
    model(torch.ones(1, 4, device="cuda", requires_grad=True)).sum().backward()
    assert [span.name for span in instrumented.spans()] == ["training Calling"]


def test_the_time_of_calls_on_the_device(telemetry: Telemetry, torch: Any) -> None:
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope), device_time=True)
    try:
        net = torch.nn.Linear(2048, 2048).cuda().eval()
        batch = torch.ones(2048, 2048, device="cuda")
        with torch.no_grad():
            for _ in range(5):
                net(batch)
            torch.cuda.synchronize()
            net(batch)
    finally:
        instrumentor.uninstrument()
    (point,) = telemetry.metrics()["torch.device.duration"].data.data_points
    assert point.count >= 5
    assert 0 < point.sum < 60
    assert CONTRACT.violations(telemetry) == []
