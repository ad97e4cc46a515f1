"""Instances: how many live, how long it takes to make one, how many have ended.

An instance lives until its store dies: to drop the Python object frees nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from time import perf_counter
from typing import Any, Literal

from opentelemetry.context import get_current

from sandscope.instrumentation import (
    Execution,
    Measurement,
    Metric,
    Patches,
    Recorder,
    is_instrumentation_enabled,
    report_error,
)
from sandscope_instrumentation_wasmtime._after_call import after_failure, after_success
from sandscope_instrumentation_wasmtime._evidence import _capabilities
from sandscope_instrumentation_wasmtime._measures import _fuel, _memory
from sandscope_instrumentation_wasmtime._measures._calls import add_peak
from sandscope_instrumentation_wasmtime._measures._instantiations import Instantiations
from sandscope_instrumentation_wasmtime._measures._living_stores import living_stores
from sandscope_instrumentation_wasmtime._measures._store_state import SANDBOX_PEAK, STATE, StoreState
from sandscope_instrumentation_wasmtime._names import _references
from sandscope_instrumentation_wasmtime._names._source import read_source
from sandscope_instrumentation_wasmtime._settings import WasmtimeSettings
from sandscope_instrumentation_wasmtime._sites import TAG, Guest, guest_of, instantiated

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

_COMPONENT = "wasmtime.instantiate"
"""Under which errors of this file are counted."""
_ONE_BEGAN: tuple[Measurement, ...] = ((ACTIVE, 1, None),)

GuestOf = Callable[[Any], Guest]
"""Returns what is known of a module, component or prepared instance."""


def patch_module(wasmtime: Any, patches: Patches, recorder: Recorder, settings: WasmtimeSettings) -> None:
    """Follow instances of core modules, and the end of stores."""
    executions = Instantiations(recorder, settings)
    patches.replace(wasmtime.Module, "__init__", after_success(_COMPONENT, _compiled))
    patches.replace(wasmtime.Instance, "__init__", _instantiating(recorder, executions, instantiated, 4))
    patches.replace(wasmtime.Linker, "instantiate", _instantiating(recorder, executions, instantiated, 3))
    patches.replace(wasmtime.Linker, "instantiate_pre", after_success(_COMPONENT, _prepared))
    patches.replace(wasmtime.Linker, "instantiate_pre", after_failure(_COMPONENT, _not_prepared(executions)))
    patches.replace(wasmtime.Linker, "define_module", after_failure(_COMPONENT, _not_defined(executions)))
    if hasattr(wasmtime, "InstancePre"):
        patches.replace(wasmtime.InstancePre, "instantiate", _instantiating(recorder, executions, guest_of))
    patches.replace(wasmtime.Store, "_delete", _deleting)


def patch_component(component: Any, patches: Patches, recorder: Recorder, settings: WasmtimeSettings) -> None:
    """Follow instances of components."""
    executions = Instantiations(recorder, settings)
    patches.replace(component.Component, "__init__", after_success(_COMPONENT, _compiled))
    patches.replace(component.Linker, "instantiate", _instantiating(recorder, executions, guest_of))


def _compiled(_: None, source: Any, engine: Any, wasm: Any) -> None:
    guest = guest_of(source)
    guest.name, guest.starts = read_source(wasm)


def _instantiating(
    recorder: Recorder, executions: Instantiations, guest_from: GuestOf, count: Literal[3, 4] = 3
) -> Callable[[Any], Any]:
    """Return what wraps a method that makes an instance.

    Args:
        recorder: gets what is measured.
        executions: record instantiations that run code or fail.
        guest_from: returns what is known of the method's module, component or prepared instance.
        count: of the method's arguments, of which the second and third are the store and the module.
    """

    def wrap(original: Any) -> Any:
        @wraps(original)
        def instantiate(*args: Any, **kwargs: Any) -> Any:
            store, source = (args[1], args[2]) if len(args) > 2 else _arguments(args, kwargs)
            if get_current() and not is_instrumentation_enabled():
                result = original(*args, **kwargs)
                _hand_over(guest_from, source, args[0] if result is None else result)
                return result
            state: StoreState | None = getattr(store, STATE, None)
            outermost = None if state is None or state.running else state
            fuel = None
            if outermost is not None:
                outermost.running = True
                if outermost.fuel:
                    fuel = _fuel_before(outermost, store)
            guest: Guest | None = getattr(source, TAG, None)
            execution = None if guest is None or not guest.starts else executions.begin(guest, state)
            began = perf_counter()
            try:
                if kwargs or len(args) != count:
                    result = original(*args, **kwargs)
                elif count == 4:  # as usual: the interpreter is faster where it knows the number of arguments
                    result = original(args[0], store, source, args[3])
                else:
                    result = original(args[0], store, source)
            except BaseException as error:
                _stop(recorder, outermost, store, fuel)
                executions.fail(execution, state, source, error, perf_counter() - began)
                executions.refuse(state, args[0], source, error)
                raise
            seconds = perf_counter() - began
            _hand_over(guest_from, source, args[0] if result is None else result)
            if execution is not None:
                _measure_start(execution, state, store, args[0] if result is None else result)
                executions.finish(execution)
            if outermost is not None:
                outermost.running = False
                if fuel is not None:
                    _stop(recorder, outermost, store, fuel)
            _made(recorder, state, args[0], source, seconds)
            return result

        return instantiate

    return wrap


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Return the store of a method, and what gets an instance: an argument, else the method's object."""
    owner = args[0] if args else None
    store = kwargs.get("store", args[1] if len(args) > 1 else None)
    return store, kwargs.get("module", kwargs.get("component", owner))


def _not_prepared(executions: Instantiations) -> Callable[..., None]:
    def refuse(error: Exception, linker: Any, module: Any = None) -> None:
        executions.fail(None, None, module, error, 0.0)
        executions.refuse(None, linker, module, error)

    return refuse


def _not_defined(executions: Instantiations) -> Callable[..., None]:
    def refuse(error: Exception, linker: Any, store: Any = None, name: str = "", module: Any = None) -> None:
        state: StoreState | None = getattr(store, STATE, None)
        executions.fail(
            None, state, module, error, 0.0
        )  # a module that is not a command is instantiated at once
        executions.refuse(state, linker, module, error)

    return refuse


def _prepared(prepared: Any, _linker: Any, module: Any) -> None:
    setattr(prepared, TAG, instantiated(module))


# None of the following raises.


def _fuel_before(state: StoreState, store: Any) -> int | None:
    try:
        return _fuel.before(state, store)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error(_COMPONENT, error)
        return None


def _stop(recorder: Recorder, state: StoreState | None, store: Any, fuel: int | None) -> None:
    if state is None:
        return
    state.running = False
    if fuel is not None:
        try:
            _fuel.count(recorder, state, store, fuel)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error(_COMPONENT, error)


def _measure_start(execution: Execution, state: StoreState | None, store: Any, instance: Any) -> None:
    """Give an instantiation that has run code the memory that its start function has left."""
    try:
        if state is not None and hasattr(instance, "exports"):  # a component has none
            instance.exports(store)  # its memories are followed from then on
            add_peak(execution, state, store)
    except ValueError:
        pass  # the program has closed the store inside the start function
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error(_COMPONENT, error)


def _hand_over(guest_from: GuestOf, source: Any, instance: Any) -> None:
    """Let an instance know its guest."""
    try:
        guest = getattr(source, TAG, None)
        instance._sandscope = guest_from(source) if guest is None or guest.traits is None else guest
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error(_COMPONENT, error)


def _made(recorder: Recorder, state: StoreState | None, owner: Any, source: Any, seconds: float) -> None:
    try:
        requested = getattr(source, _capabilities.REQUESTED, None)
        if requested is None:
            requested = _capabilities.requested_by(source, owner)
        counts = _ONE_BEGAN
        if state is None:
            counts = _capabilities.counts(requested, frozenset(), linked=True)
        else:
            state.instances += 1
            living_stores.add(state)
            if state.recorder is not recorder:  # it ends where it began
                state.recorder.measure_all(_ONE_BEGAN)
                counts = _capabilities.counts(requested, state.granted, linked=True)
            elif requested:
                counts = _began(requested, state.granted)
        recorder.measure_all(counts, (CREATION, seconds, None))
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error(_COMPONENT, error)


@lru_cache(1024)
def _began(requested: frozenset[str], granted: frozenset[str]) -> tuple[Measurement, ...]:
    return (*_capabilities.counts(requested, granted, linked=True), *_ONE_BEGAN)


def _deleting(original: Any) -> Any:
    @wraps(original)
    def delete(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            state = self._sandscope_store
            del self._sandscope_store  # `self.__dict__.pop` would make a dictionary
        except AttributeError:
            state = None
        if state is not None and state.skip > 0:  # calls were not measured since the memories were read
            _read_last(state, self)
        try:
            return original(self, *args, **kwargs) if kwargs or len(args) != 1 else original(self, args[0])
        finally:
            # Mostly in a finaliser, perhaps one that has interrupted the SDK: `measure_all` only appends.
            if state is not None:
                _ended(state)

    return delete


def _read_last(state: StoreState, store: Any) -> None:
    try:
        _memory.read(state, store)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error(_COMPONENT, error)


def _ended(state: StoreState) -> None:
    is_living = state in living_stores  # else it is another process's, or was recorded at exit
    living_stores.discard(state)
    instances, state.instances = state.instances, 0
    memory, limit = _memory.release(state) if state.memories or state.reported_limit else (0, 0)
    if state.engine_id:
        _references.forget(state)
    if instances or memory or limit:
        state.recorder.measure_all(_ended_counts(instances, memory, limit, memory * is_living))


@lru_cache(1024)
def _ended_counts(instances: int, memory: int, limit: int, peak: int) -> tuple[Measurement, ...]:
    changes = (
        (ACTIVE, -instances, None),
        (DESTRUCTION, instances, None),
        (_memory.USAGE, -memory, None),
        (_memory.LIMIT, -limit, None),
        (SANDBOX_PEAK, peak, None),
    )
    return tuple(change for change in changes if change[1])
