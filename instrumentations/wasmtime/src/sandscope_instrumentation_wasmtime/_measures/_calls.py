"""Calls of which something is measured beside their duration: memory, and fuel and CPU time if asked.

To read a memory takes a tenth of the shortest call's time, so not every call pays for it: the first calls of a
store do, and then one in a while. Fuel and CPU time are sums: who asks for them has every call measured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import Execution, Recorder, Site, report_error
from sandscope_instrumentation_wasmtime._measures import _fuel, _memory
from sandscope_instrumentation_wasmtime._measures._cpu import CpuTime, thread_measures
from sandscope_instrumentation_wasmtime._measures._store_state import SANDBOX_ID, STATE, StoreState
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
    unmeasured = recorder.wrap_method(original, attribute, default)

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        state = getattr(args[1], STATE, None) if len(args) > 1 else None
        if state is not None and state.skip:
            state.skip -= 1
            return unmeasured(*args, **kwargs) if kwargs else unmeasured(*args)
        if state is None or state.running:
            return unmeasured(*args, **kwargs)
        execution = recorder.begin(getattr(args[0], attribute, default))
        if execution is None:
            return original(*args, **kwargs)
        measurement = Measurement(settings, state, args[1])
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            measurement.end(execution)
            execution.fail(error)
            raise
        measurement.end(execution)
        execution.finish()
        return result

    return call


class Measurement:
    """What is measured of one outermost call in a store. No method raises."""

    __slots__ = ("_cpu", "_fuel", "_settings", "_state", "_store")

    def __init__(self, settings: WasmtimeSettings, state: StoreState, store: Any) -> None:
        """Start; what comes inside is part of it."""
        self._settings, self._state, self._store = settings, state, store
        self._fuel: int | None = None
        self._cpu: CpuTime | None = None
        state.running = True
        try:
            if state.fuel:
                self._fuel = _fuel.before(state, store)
            if settings.cpu and not thread_measures():
                self._cpu = CpuTime()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.measure", error)

    def end(self, execution: Execution) -> None:
        """Stop, and give an execution what was measured."""
        state = self._state
        state.running = False
        try:
            if self._cpu is not None:
                self._cpu.end(execution)
            self._read(execution)
        except ValueError:
            pass  # the program has closed the store inside the call
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.measure", error)
        state.calls += 1
        if not (state.fuel or self._settings.cpu) and state.calls >= FIRST:
            state.skip = EVERY * (len(state.memories) or 1) - 1

    def _read(self, execution: Execution) -> None:
        state, store = self._state, self._store
        traced = execution.site.traced
        if traced:
            execution.set_attributes({SANDBOX_ID: state.id})
        if self._fuel is not None:
            used = _fuel.consumed(state, store, self._fuel)
            execution.measure(_fuel.CONSUMED, used)
            if traced:
                execution.set_attributes({_fuel.CONSUMED.name: used})
        size = _memory.read(state, store)
        if size is not None and traced:
            execution.set_attributes({_memory.SIZE: size})
