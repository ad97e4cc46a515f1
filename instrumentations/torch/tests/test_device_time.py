"""The time of calls on a CUDA device. Without one, its functions are replaced: a test of the interface."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry
from sandscope.instrumentation import Recorder, Site
from sandscope_instrumentation_torch import TorchInstrumentor
from sandscope_instrumentation_torch._measures._device_time import DeviceTimes

CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")
BOTH = pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
_SITE = Site("torch", "inference", "inference Net", attributes={"torch.module": "Net"})


class Device:
    """A device whose clock is set by the test. An event is passed once `done` has reached its place."""

    def __init__(self) -> None:
        self.launched = self.done = self.made = 0
        self.capturing = False

    def make(self, *, enable_timing: bool) -> Any:
        assert enable_timing
        self.made += 1
        event = SimpleNamespace(place=0)

        def record(stream: str) -> None:
            assert stream == "stream of cuda:1"
            self.launched += 1
            event.place = self.launched

        event.record = record
        event.query = lambda: event.place <= self.done
        event.elapsed_time = lambda other: (other.place - event.place) * 250.0
        return event


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def times(device: Device, telemetry: Telemetry) -> DeviceTimes:
    cuda = SimpleNamespace(
        Event=device.make,
        current_stream=lambda place: f"stream of {place}",
        is_current_stream_capturing=lambda: device.capturing,
    )
    return DeviceTimes(SimpleNamespace(cuda=cuda), telemetry.recorder(TorchInstrumentor.scope))


class _Place(SimpleNamespace):
    def __eq__(self, other: object) -> bool:
        time.sleep(0)  # Another thread may run now.
        return isinstance(other, _Place) and self.type == other.type

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return f"{self.type}:1"


def _model(kind: str) -> Any:
    parameter = SimpleNamespace(device=_Place(type=kind))
    return SimpleNamespace(_parameters={"weight": parameter}, _modules={})


def _call(times: DeviceTimes, recorder: Recorder, device: Device, *, waits: bool = False) -> None:
    begun, execution = times.begin(_model("cuda")), recorder.begin(_SITE)
    assert execution is not None
    end = times.end
    if waits:  # for all that is launched
        device.done = device.launched + 1
    end(execution, begun)
    execution.finish()


def _count(telemetry: Telemetry) -> float:
    return sum(value for _, value in telemetry.points("torch.device.duration"))


@BOTH
def test_a_time_is_filled_in_when_the_device_has_come_so_far(
    telemetry: Telemetry, times: DeviceTimes, device: Device
) -> None:
    recorder = telemetry.recorder(TorchInstrumentor.scope)
    for _ in range(3):
        _call(times, recorder, device)
    assert _count(telemetry) == 0, "nothing waits"
    device.done = 4  # two calls, in the order in which they were launched
    _call(times, recorder, device)
    assert _count(telemetry) == 2
    device.done = device.launched
    _call(times, recorder, device, waits=True)
    assert _count(telemetry) == 5
    ((attributes, _),) = telemetry.points("torch.device.duration")
    assert attributes == {"sandbox.runtime": "torch", "sandbox.operation": "inference"}
    (point,) = telemetry.metrics()["torch.device.duration"].data.data_points
    assert point.sum == pytest.approx(5 * 0.25)
    known = [(span.attributes or {}).get("torch.device.duration") for span in telemetry.spans()]
    assert known == [None, None, None, None, 0.25]
    assert CONTRACT.violations(telemetry) == []


def test_events_are_used_again(telemetry: Telemetry, times: DeviceTimes, device: Device) -> None:
    recorder = telemetry.recorder(TorchInstrumentor.scope)
    for _ in range(100):
        _call(times, recorder, device, waits=True)
    assert device.made == 2
    assert _count(telemetry) == 100


def test_no_more_than_so_many_wait(telemetry: Telemetry, times: DeviceTimes, device: Device) -> None:
    recorder = telemetry.recorder(TorchInstrumentor.scope)
    for _ in range(2000):
        _call(times, recorder, device)
    assert device.made == 2 * 512
    device.done = device.launched
    _call(times, recorder, device, waits=True)
    assert _count(telemetry) == 513


def test_threads_share_the_events(telemetry: Telemetry, times: DeviceTimes, device: Device) -> None:
    recorder = telemetry.recorder(TorchInstrumentor.scope)

    def work() -> None:
        for _ in range(300):
            _call(times, recorder, device, waits=True)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    device.done = device.launched
    _call(times, recorder, device, waits=True)
    assert _count(telemetry) == 8 * 300 + 1
    assert telemetry.points("sandscope.errors") == []


def test_other_devices_and_captured_streams_are_left_out(
    telemetry: Telemetry, times: DeviceTimes, device: Device
) -> None:
    assert times.begin(_model("cpu")) is None
    assert times.begin(SimpleNamespace(_parameters={}, _modules={})) is None
    device.capturing = True
    assert times.begin(_model("cuda")) is None
    assert device.made == 0
    assert telemetry.points("sandscope.errors") == []


@pytest.fixture
def measuring(telemetry: Telemetry, torch: Any) -> Iterator[Telemetry]:
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope), device_time=True)
    yield telemetry
    instrumentor.uninstrument()


@pytest.mark.torch
def test_calls_on_the_cpu_are_as_before(measuring: Telemetry, torch: Any, net: Any) -> None:
    net(torch.ones(1, 4))
    assert [span.name for span in measuring.spans()] == ["training Net"]
    assert measuring.points("torch.device.duration") == []
