"""The peak of memory of one call, if asked."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor
from sandscope_instrumentation_torch._measures._memory import resident_peak

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Only Linux says what is resident.")
RESIDENT, ALLOCATED = (f"torch.call.memory.peak.{name}" for name in ("resident", "allocated"))
MIB = 1 << 20


@pytest.fixture
def measuring(torch: Any, telemetry: Telemetry) -> Iterator[Telemetry]:
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope), peak_memory=True)
    yield telemetry
    instrumentor.uninstrument()


@pytest.fixture
def growing(torch: Any, calling: Any) -> Callable[[int], Any]:
    """Return a function that makes models whose call needs so many MiB for a moment."""
    return lambda size: calling(lambda: int(torch.ones(size * MIB, dtype=torch.uint8)[-1]))


@LINUX
@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_a_small_call_after_a_large_one_has_a_lower_peak(measuring: Telemetry, growing: Any) -> None:
    growing(200)()
    growing(1)()
    large, small = [int((span.attributes or {})[RESIDENT]) for span in measuring.spans()]
    assert large - small > 100 * MIB
    assert {
        str(point["torch.memory.device"]): count
        for point, count in measuring.points("torch.call.memory.peak")
    } == {"cpu": 2.0}
    assert CONTRACT.violations(measuring) == []


@LINUX
def test_the_peak_of_the_process_is_kept(measuring: Telemetry, growing: Any) -> None:
    growing(200)()
    before = resident_peak()
    growing(1)()
    after = resident_peak()
    assert before is not None
    assert after is not None
    assert after >= before
    ((_, reported),) = [
        point for point in measuring.points("torch.memory.peak") if point[0]["torch.memory.device"] == "cpu"
    ]
    assert reported >= before


@LINUX
def test_calls_at_the_same_time_share_the_peak(
    measuring: Telemetry, growing: Any, torch: Any, calling: Any
) -> None:
    inside, done = threading.Event(), threading.Event()

    def wait() -> None:
        assert int(torch.ones(200 * MIB, dtype=torch.uint8)[-1])
        inside.set()
        assert done.wait(60)

    thread = threading.Thread(target=calling(wait))
    thread.start()
    assert inside.wait(60)
    growing(1)()
    done.set()
    thread.join()
    small, large = [int((span.attributes or {})[RESIDENT]) for span in measuring.spans()]
    assert large - small > 100 * MIB


@LINUX
def test_a_call_that_fails_has_a_peak(measuring: Telemetry, calling: Any) -> None:
    def fail() -> None:
        raise ValueError("canary")

    with pytest.raises(ValueError, match="canary"):
        calling(fail)()
    (span,) = measuring.spans()
    assert int((span.attributes or {})[RESIDENT]) > MIB


def test_nothing_is_measured_by_default(instrumented: Telemetry, growing: Any) -> None:
    growing(1)()
    (span,) = instrumented.spans()
    assert RESIDENT not in (span.attributes or {})
    assert instrumented.points("torch.call.memory.peak") == []


def test_devices_are_asked_for_the_most_that_was_allocated(
    measuring: Telemetry, torch: Any, growing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interface test: CUDA's functions are replaced."""
    peaks = {0: 7, 1: 5}
    reset: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda _index: {})
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: peaks[index])
    growing(1)()
    assert reset == [0, 1]
    (span,) = measuring.spans()
    assert (span.attributes or {})[ALLOCATED] == 12
    assert CONTRACT.violations(measuring) == []
