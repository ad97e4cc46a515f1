"""CPU time: what calls use on the thread that makes them, if that is asked for."""

from __future__ import annotations

import threading
from time import perf_counter_ns, thread_time_ns

from sandscope.instrumentation import Execution, Metric

TIME = Metric("wasm.cpu.time", "counter", "s", "CPU time of calls, on the threads that made them")
USAGE = Metric("wasm.cpu.usage", "gauge", "%", "CPU time of a call, in percent of its duration")


class _Thread(threading.local):
    """Whether a call is measured: those inside it, of other stores too, are part of it."""

    measures = False


_thread = _Thread()


class CpuTime:
    """The CPU time of one call."""

    __slots__ = ("_began", "_used")

    def __init__(self) -> None:
        """Start; `thread_measures` is to be asked before."""
        _thread.measures = True
        self._began, self._used = perf_counter_ns(), thread_time_ns()

    def end(self, execution: Execution) -> None:
        """Stop, and give an execution its metrics and attribute."""
        _thread.measures = False
        used, elapsed = thread_time_ns() - self._used, perf_counter_ns() - self._began
        execution.measure(TIME, used / 1e9)
        if elapsed > 0:
            execution.measure(USAGE, min(100.0, 100 * used / elapsed))
        if execution.site.traced:
            execution.set_attributes({TIME.name: used / 1e9})


def thread_measures() -> bool:
    """Return whether this thread measures a call already."""
    return _thread.measures
