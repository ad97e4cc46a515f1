"""Calls of which something is measured beside their duration: memory, and fuel and CPU time if asked for.

To read a memory takes a tenth of the shortest call's time, so not every call is measured: the first calls of a
store are, and then one of many. Fuel and CPU time are sums: with these settings, all calls are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import Execution, Recorder, Site, report_error
from sandscope_instrumentation_wasmtime._measures import _fuel, _memory
from sandscope_instrumentation_wasmtime._measures._cpu import CpuTime, thread_measures
from sandscope_instrumentation_wasmtime._measures._store_state import PEAK, STATE, StoreState
from sandscope_instrumentation_wasmtime._settings import WasmtimeSettings

FIRST = 16
"""Calls of a store that are measured one by one."""
EVERY = 64
"""Calls, for each memory of the store, of which one is measured from then on."""


def measuring(
    original: Callable[..., Any],
    recorder: Recorder,
    settings: WasmtimeSettings,
    attribute: str,
    default: Site,
) -> Callable[..., Any]:
    """Return what to patch ``Func.__call__`` with.

    Args:
        original: what is patched.
        recorder: gets an execution for each call.
        settings: say what is measured.
        attribute: of a function; holds its site.
        default: the site of functions without that attribute.
    """
    measures_all = settings.cpu

    @wraps(original)
    def measured(*args: Any, **kwargs: Any) -> Any:
        store = args[1] if len(args) > 1 else next(iter(kwargs.values()))
        state: StoreState = getattr(store, STATE)
        execution = recorder.begin(getattr(args[0], attribute, default))
        if execution is None:
            return original(*args, **kwargs)
        if default.traced:
            execution.details = state  # type: ignore[misc] # a slot of each recorder's class
        state.running = True
        sums = _Sums(settings, state, store) if state.fuel or measures_all else None
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            _end(execution, state, store, sums)
            execution.fail(error)
            raise
        _end(execution, state, store, sums)
        execution.finish()
        return result

    return recorder.wrap_method(
        original, attribute, default, STATE, measured=measured, measures_all=measures_all
    )


def _end(execution: Execution, state: StoreState, store: Any, sums: _Sums | None) -> None:
    """Give an execution what was measured of its outermost call in a store; never raises."""
    state.running = False
    try:
        if sums is not None:
            sums.end(execution, state, store)
        add_peak(execution, state, store)
    except ValueError:
        pass  # the program has closed the store inside the call
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("wasmtime.measure", error)
    state.calls += 1
    if sums is None and state.calls >= FIRST:
        state.skip = EVERY * (len(state.memories) or 1) - 1


def add_peak(execution: Execution, state: StoreState, store: Any) -> None:
    """Give an execution the bytes that the memories of its store have, if any are known.

    Raises:
        ValueError: if the store is closed.
    """
    size = _memory.read(state, store)
    if size is None:
        return
    if execution.details is state or execution.details is None:
        execution.details = state.with_memory(size)  # type: ignore[misc] # as above
    else:
        execution.measure(PEAK, size)
        if execution.site.traced:
            execution.set_attributes({PEAK.name: size})


class _Sums:
    """Fuel and CPU time of one outermost call in a store, with all calls inside."""

    __slots__ = ("_cpu", "_fuel")

    def __init__(self, settings: WasmtimeSettings, state: StoreState, store: Any) -> None:
        """Start; never raises."""
        self._fuel: int | None = None
        self._cpu: CpuTime | None = None
        try:
            if state.fuel:
                self._fuel = _fuel.before(state, store)
            if settings.cpu and not thread_measures():
                self._cpu = CpuTime()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.measure", error)

    def end(self, execution: Execution, state: StoreState, store: Any) -> None:
        """Stop, and give an execution what was measured.

        Raises:
            ValueError: if the store is closed.
        """
        if self._cpu is not None:
            self._cpu.end(execution)
        if self._fuel is not None:
            used = _fuel.consumed(state, store, self._fuel)
            execution.measure(_fuel.CONSUMED, used)
            if execution.site.traced:
                execution.set_attributes({_fuel.CONSUMED.name: used})
