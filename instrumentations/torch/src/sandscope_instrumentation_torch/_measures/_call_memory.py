"""The peak of memory during one call. Linux and CUDA keep one peak each, so each call begins by resetting it."""

from __future__ import annotations

from typing import Any

from sandscope.instrumentation import Execution, Metric, Recorder, Value, new_lock, report_error
from sandscope_instrumentation_torch._measures._memory import keep_resident_peak, resident_peak

PEAK = Metric(
    "torch.call.memory.peak",
    "histogram",
    "By",
    "The most memory during a call of a model",
    tuple(float(megabytes << 20) for megabytes in (1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000)),
)


class _Window:
    """A call whose peak is measured.

    Attributes:
        resident: the most resident memory of the process since it began, as far as known, in bytes.
    """

    __slots__ = ("resident",)

    def __init__(self) -> None:
        self.resident = 0


class CallMemory:
    """Measures the peak of each call. Calls in other threads at the same time are part of it."""

    def __init__(self, torch: Any, recorder: Recorder) -> None:
        self._cuda, self._recorder = torch.cuda, recorder
        self._lock = new_lock()
        self._open: list[_Window] = []

    def begin(self, _module: Any) -> _Window:
        """Reset the peaks. Never raises."""
        window = _Window()
        try:
            with self._lock:
                peak = keep_resident_peak()
                for other in self._open:
                    other.resident = max(other.resident, peak)
                self._open.append(window)
            for device in self._devices():
                self._cuda.reset_peak_memory_stats(device)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.call.memory", error)
        return window

    def end(self, execution: Execution, window: _Window) -> None:
        """Record the peaks of the call. Never raises."""
        try:
            with self._lock:
                if window in self._open:
                    self._open.remove(window)
            resident = max(window.resident, resident_peak(since_reset=True) or 0)
            if resident:
                self._record(execution, "torch.call.memory.peak.resident", "cpu", resident)
            devices = list(self._devices())
            if devices:
                allocated = sum(self._cuda.max_memory_allocated(device) for device in devices)
                self._record(execution, "torch.call.memory.peak.allocated", "cuda", allocated)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.call.memory", error)

    def _devices(self) -> range:
        """Return the CUDA devices, none before the program uses CUDA."""
        return range(self._cuda.device_count() if self._cuda.is_initialized() else 0)

    def _record(self, execution: Execution, attribute: str, kind: str, peak: int) -> None:
        execution.set_attributes({attribute: peak})
        point: dict[str, Value] = {
            "sandbox.runtime": "torch",
            "sandbox.operation": execution.site.operation,
            "torch.memory.device": kind,
        }
        self._recorder.measure(PEAK, peak, point)
