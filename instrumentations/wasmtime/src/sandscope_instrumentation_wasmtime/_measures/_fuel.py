"""Fuel: what calls and instantiations take from their store, if that is asked for and the engine counts it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import Metric, Patches, Recorder, report_error
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._measures._store_state import StoreState, state_of

CONSUMED = Metric("wasm.fuel.consumed", "counter", "{fuel}", "Fuel that calls and instantiations consumed")

_COUNTS = "_sandscope_fuel"
"""The attribute of an engine that says whether it counts fuel: to ask a store that does not takes 9 us."""


def patch(wasmtime: Any, patches: Patches, *, measured: bool) -> None:
    """Follow the fuel of stores.

    Args:
        wasmtime: the module.
        patches: takes what is replaced.
        measured: fuel is to be measured, and not only known when it is out.
    """
    if measured:
        patches.replace(wasmtime.Store, "__init__", after_success("wasmtime.fuel", _made))
    patches.replace(wasmtime.Store, "set_fuel", _set)


def before(state: StoreState, store: Any) -> int | None:
    """Return the fuel that is left when something starts, or None where it is not measured."""
    if not state.fuel:
        return None
    state.fuel_added = 0
    left: int = store.get_fuel()
    return left


def consumed(state: StoreState, store: Any, before: int) -> int:
    """Return the fuel consumed since; what the host has put in meanwhile is no gain.

    Args:
        state: of the store.
        store: that runs on fuel.
        before: what `before` returned.
    """
    return max(0, before + state.fuel_added - int(store.get_fuel()))


def count(recorder: Recorder, state: StoreState, store: Any, before: int) -> None:
    """Count the fuel consumed since outside of any call."""
    recorder.measure(CONSUMED, consumed(state, store, before))


def _made(_: None, store: Any, *_args: Any, **_kwargs: Any) -> None:
    state = state_of(store)
    if state is not None:
        state.fuel = _counts_fuel(store)
        if state.fuel:
            state.skip = 0


def _counts_fuel(store: Any) -> bool:
    from wasmtime import WasmtimeError

    counts: bool | None = getattr(store.engine, _COUNTS, None)
    if counts is None:
        try:
            store.get_fuel()
            counts = True
        except WasmtimeError:
            counts = False
        setattr(store.engine, _COUNTS, counts)
    return counts


def _set(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def set_fuel(self: Any, *args: Any, **kwargs: Any) -> None:
        state = state_of(self)
        measured = state is not None and state.fuel and state.running
        left = self.get_fuel() if measured else 0
        original(self, *args, **kwargs)
        try:
            if state is not None:
                state.fuel_given = args[0] if args else kwargs["fuel"]
                state.fuel_added += self.get_fuel() - left if measured else 0
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.fuel", error)

    return set_fuel
