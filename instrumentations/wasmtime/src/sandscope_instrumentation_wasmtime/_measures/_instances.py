"""Instances: how many live, how long it takes to make one, how many have ended.

An instance lives until its store dies: to drop the Python object frees nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from time import perf_counter_ns
from typing import Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from sandscope.instrumentation import Metric, Patches, Recorder, report_error
from sandscope_instrumentation_wasmtime._evidence import _capabilities, _violations
from sandscope_instrumentation_wasmtime._measures import _fuel, _memory
from sandscope_instrumentation_wasmtime._measures._store_state import STATE, StoreState, state_of

ACTIVE = Metric("wasm.active.instances", "updowncounter", "{instance}", "Instances whose store lives")
CREATION = Metric(
    "wasm.instance.creation.duration",
    "histogram",
    "s",
    "Time to make an instance, its start function included",
    (0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0, 5.0),
)
DESTRUCTION = Metric(
    "wasm.instance.destruction", "counter", "{instance}", "Instances that ended with their store"
)


def patch_module(wasmtime: Any, patches: Patches, recorder: Recorder) -> None:
    """Follow instances of core modules, and the end of stores."""
    instantiating = _instantiating(recorder)
    patches.replace(wasmtime.Instance, "__init__", instantiating)
    patches.replace(wasmtime.Linker, "instantiate", instantiating)
    if hasattr(wasmtime, "InstancePre"):
        patches.replace(wasmtime.InstancePre, "instantiate", instantiating)
    patches.replace(wasmtime.Store, "_delete", _deleting)


def patch_component(component: Any, patches: Patches, recorder: Recorder) -> None:
    """Follow instances of components."""
    patches.replace(component.Linker, "instantiate", _instantiating(recorder))


def _instantiating(recorder: Recorder) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        @wraps(original)
        def instantiate(*args: Any, **kwargs: Any) -> Any:
            if not is_instrumentation_enabled():
                return original(*args, **kwargs)
            making = _Making(recorder, args, kwargs)
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                making.failed(error)
                raise
            making.succeeded()
            return result

        return instantiate

    return wrap


class _Making:
    """One instantiation. No method raises."""

    __slots__ = ("_began", "_fuel", "_outermost", "_owner", "_recorder", "_source", "_state", "_store")

    def __init__(self, recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Start.

        Args:
            recorder: gets what is measured.
            args: of the method: its object, the store, and what gets an instance, unless that is the object.
            kwargs: of the method.
        """
        self._recorder = recorder
        self._owner = args[0] if args else None
        self._store = kwargs.get("store", args[1] if len(args) > 1 else None)
        self._source = kwargs.get(
            "module", kwargs.get("component", args[2] if len(args) > 2 else self._owner)
        )
        self._state = state_of(self._store)
        self._outermost = self._state is not None and not self._state.running
        self._fuel: int | None = None
        if self._state is not None and self._outermost:
            self._start(self._state)
        self._began = perf_counter_ns()

    def succeeded(self) -> None:
        """End with an instance."""
        seconds = (perf_counter_ns() - self._began) / 1e9
        state = self._state
        self._recorder.measure(CREATION, seconds)
        if state is not None:
            state.instances += 1
            state.recorder.measure(ACTIVE, 1)
        self._stop()
        self._after(_capabilities.count_requests, state, self._owner, self._source, linked=True)

    def failed(self, error: BaseException) -> None:
        """End without an instance."""
        self._stop()
        self._after(_violations.report_failed_instantiation, self._state, error)
        if _violations.unknown_import(error) is not None:
            self._after(_capabilities.count_requests, self._state, self._owner, self._source, linked=False)

    def _start(self, state: StoreState) -> None:
        state.running = True
        try:
            self._fuel = _fuel.before(state, self._store)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.instantiate", error)

    def _stop(self) -> None:
        state = self._state
        if state is None or not self._outermost:
            return
        state.running = False
        if self._fuel is not None:
            self._after(_fuel.count, state, self._store, self._fuel)

    def _after(self, step: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        try:
            step(self._recorder, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.instantiate", error)


def _deleting(original: Any) -> Any:
    @wraps(original)
    def delete(self: Any, *args: Any, **kwargs: Any) -> Any:
        state = self.__dict__.pop(STATE, None)
        try:
            return original(self, *args, **kwargs)
        finally:
            # Mostly in a finaliser, perhaps one that has interrupted the SDK: `measure` only appends.
            if state is not None:
                _ended(state)

    return delete


def _ended(state: StoreState) -> None:
    if state.instances:
        state.recorder.measure(ACTIVE, -state.instances)
        state.recorder.measure(DESTRUCTION, state.instances)
        state.instances = 0
    _memory.release(state)
