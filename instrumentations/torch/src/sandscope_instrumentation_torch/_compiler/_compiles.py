"""Compilations by ``torch.compile``: their number and duration, and an event of the execution that waits for one."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sandscope.instrumentation import (
    Metric,
    Patches,
    Recorder,
    Value,
    current_execution,
    observe_metric,
    report_error,
)

_SECONDS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
DURATION = Metric(
    "torch.compile.duration", "histogram", "s", "Time of compilations by torch.compile", _SECONDS
)
CACHED = Metric(
    "torch.compile.cache.entries",
    "updowncounter",
    "{entry}",
    "Compiled versions of functions that torch.compile keeps in memory",
)
_patched_by: list[Patches] = []
_TRIGGERS = {"DYNAMO": "call", "LAZY_BACKWARD": "backward", "CUDAGRAPH_RECORDING": "cuda_graph"}


def record_compiles(recorder: Recorder) -> Callable[[Any], Any]:
    """Return what wraps the method with which torch's compiler surrounds each compilation.

    Not its callbacks: ``torch._dynamo.reset()`` removes them, and of several threads they are called for one only.
    """

    def make(original: Any) -> Any:
        @functools.wraps(original)
        def install_callbacks(handler: Any, *args: Any, **kwargs: Any) -> AbstractContextManager[None]:
            compilation = original(handler, *args, **kwargs)
            given = [*args, *kwargs.values()]
            trigger = getattr(given[0], "name", "") if given else ""
            return _timed(recorder, compilation, trigger, str(given[1]) if len(given) > 1 else "")

        return install_callbacks

    return make


@contextmanager
def _timed(
    recorder: Recorder, compilation: AbstractContextManager[None], trigger: str, number: str
) -> Iterator[None]:
    started = time.perf_counter()
    try:
        with compilation:
            yield
    finally:
        try:
            _report(recorder, time.perf_counter() - started, trigger, number)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.compile", error)


def _report(recorder: Recorder, seconds: float, trigger: str, number: str) -> None:
    # The number is that of a function and of its compilation, such as 3/0; a third one counts restarts.
    parts = number.split("/")
    attributes: dict[str, Value] = {
        "torch.compile.trigger": _TRIGGERS.get(trigger, "other"),
        "torch.compile.again": len(parts) > 1 and parts[1].partition("_")[0] != "0",
    }
    recorder.measure(DURATION, seconds, {"sandbox.runtime": "torch", **attributes})
    execution = current_execution()
    if execution is not None and execution.site.runtime == "torch":
        execution.add_event("torch.compile", {**attributes, "torch.compile.duration": seconds})


def observe_cache(patches: Patches) -> None:
    """Report how much torch's compiler has in memory, until the patches are undone."""
    _patched_by[:] = [patches]
    observe_metric(CACHED, _cached)


def _cached() -> Iterator[tuple[Mapping[str, str], float]]:
    # Without `input_codes`, the program is importing torch's compiler at this moment.
    traced = getattr(sys.modules.get("torch._dynamo.convert_frame"), "input_codes", None)
    if traced is None or all(patches.undone for patches in _patched_by):
        return
    entries_of = sys.modules["torch"]._C._dynamo.eval_frame._debug_get_cache_entry_list
    codes = [reference() for reference in list(traced.seen)]
    yield {"sandbox.runtime": "torch"}, sum(len(entries_of(code)) for code in codes if code is not None)
