"""How long the calls of models take on CUDA devices, by events that the device passes. Nothing waits for the device.

A call returns when its work has been launched. An event before it and one after it are put into the stream, and what
was between them is read once the device has passed both: when later calls begin or end.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any, NamedTuple

from sandscope.instrumentation import Execution, Metric, Recorder, Value, report_error, watch_forks
from sandscope_instrumentation_torch._models import parameters

DURATION = Metric(
    "torch.device.duration",
    "histogram",
    "s",
    "Time that calls of models take on a CUDA device",
    (0.00001, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
_MOST = 512
"""Calls whose time is not known yet; of further ones, it is not measured. Pairs of events that are kept for later."""


class _Window(NamedTuple):
    """The events around a call, in a stream of a device."""

    device: Any
    start: Any
    end: Any
    operation: list[str]


def _no_windows() -> defaultdict[Any, deque[_Window]]:
    """Return used windows by device: none."""
    return defaultdict(lambda: deque(maxlen=_MOST))


class DeviceTimes:
    """Measures calls of models whose first parameter is on a CUDA device."""

    def __init__(self, torch: Any, recorder: Recorder) -> None:
        self._cuda, self._recorder = torch.cuda, recorder
        self._waiting: deque[_Window] = deque()
        self._free = _no_windows()
        self._of_parent: list[Any] = []
        watch_forks(self)

    def after_fork_in_child(self) -> None:
        """Leave the parent's events alone: a forked child cannot use its device, nor free what is there."""
        self._of_parent += [self._waiting, self._free]
        self._waiting, self._free = deque(), _no_windows()

    def begin(self, module: Any) -> _Window | None:
        """Put an event into the current stream of the model's device. None if the call is not measured."""
        try:
            first = next(parameters(module), None)
            if first is None or first[2].device.type != "cuda" or self._cuda.is_current_stream_capturing():
                return None
            self._collect()
            if len(self._waiting) >= _MOST:
                return None
            window = self._window(first[2].device)
            window.start.record(self._cuda.current_stream(window.device))
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.device", error)
            return None
        return window

    def end(self, execution: Execution, begun: _Window | None) -> None:
        """Put the second event there; report the time if the device has passed it."""
        if begun is None:
            return
        try:
            begun.operation[:] = [execution.site.operation]
            begun.end.record(self._cuda.current_stream(begun.device))
            self._waiting.append(begun)
            if begun.end.query():  # as after a call that has waited for its result
                execution.set_attributes({"torch.device.duration": _seconds(begun)})
            self._collect()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.device", error)

    def _window(self, device: Any) -> _Window:
        """Return a pair of events of the device: a used one, or a new one."""
        try:
            return self._free[device].pop()
        except IndexError:  # There is none, or another thread has taken the last one.
            event = self._cuda.Event
            return _Window(device, event(enable_timing=True), event(enable_timing=True), [])

    def _collect(self) -> None:
        """Report the calls that the device has finished since, in the order in which they were launched."""
        while self._waiting:
            try:
                window = self._waiting.popleft()
            except IndexError:  # another thread has taken it
                return
            if not window.end.query():
                self._waiting.appendleft(window)
                return
            (operation,) = window.operation
            attributes: dict[str, Value] = {"sandbox.runtime": "torch", "sandbox.operation": operation}
            self._recorder.measure(DURATION, _seconds(window), attributes)
            self._free[window.device].append(window)


def _seconds(window: _Window) -> float:
    return float(window.start.elapsed_time(window.end)) / 1000
