"""Which operators take the time of a call: one in so many calls is timed, by a dispatch mode of torch.

Not by ``torch.profiler``, which takes a second for its first profile and cancels one that the program makes.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import Execution, report_error

_MOST = 10
"""Operators that become events."""


def operator_timer(
    torch: Any, every: int | None
) -> Callable[[Any, Execution, Callable[..., Any]], Callable[..., Any]] | None:
    """Return a function that returns what calls a model, with the operators timed in one of so many calls.

    The function takes the model, the execution of its call, and what calls the model.

    Args:
        torch: the module.
        every: how many calls there are for one that is timed; None to time none.
    """
    if every is None:
        return None
    calls = itertools.count(1)
    mode = _mode(torch)

    def choose(module: Any, execution: Execution, function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            if next(calls) % every or _is_in_use(torch) or _is_compiled(torch, module):
                return function
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.operators", error)
            return function

        def timed(*args: Any, **kwargs: Any) -> Any:
            taken: dict[str, list[float]] = {}
            try:
                with mode(taken):
                    return function(*args, **kwargs)
            finally:
                _report(execution, taken)

        return timed

    return choose


def _mode(torch: Any) -> Callable[[dict[str, list[float]]], Any]:
    class TimedOperators(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc] # torch is Any
        """Adds up the calls and the seconds of each operator."""

        def __init__(self, taken: dict[str, list[float]]) -> None:
            super().__init__()
            self._taken = taken

        def __torch_dispatch__(self, operator: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            began = time.perf_counter()
            try:
                return operator(*args, **(kwargs or {}))
            finally:
                entry = self._taken.setdefault(operator.name(), [0, 0.0])
                entry[0] += 1
                entry[1] += time.perf_counter() - began

    return TimedOperators


def _is_in_use(torch: Any) -> bool:
    """Return whether the program itself profiles, has a dispatch mode, or transforms functions."""
    return bool(
        torch._C._len_torch_dispatch_stack()
        or torch._C._autograd._profiler_enabled()
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


def _is_compiled(torch: Any, module: Any) -> bool:
    """Return whether a part of a model is compiled: torch's compiler compiles nothing inside a dispatch mode."""
    if "torch._dynamo" not in sys.modules:
        return False
    own = vars(module)
    if own.get("_compiled_call_impl") is not None or "_orig_mod" in own.get("_modules", ()):
        return True
    return any(child is not None and _is_compiled(torch, child) for child in own["_modules"].values())


def _report(execution: Execution, taken: dict[str, list[float]]) -> None:
    """Add an event for each of the operators that took the most time."""
    slowest = sorted(taken.items(), key=lambda item: item[1][1], reverse=True)
    for name, (calls, seconds) in slowest[:_MOST]:
        execution.add_event(
            "torch.operator",
            {
                "torch.operator.name": name.removesuffix(".default"),
                "torch.operator.calls": int(calls),
                "torch.operator.duration": seconds,
            },
        )
